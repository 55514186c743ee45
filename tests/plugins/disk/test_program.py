"""The real embedder, the bundled model and the real command line, in a network namespace with nothing in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llmos.kernel.locate import bundled_models


@pytest.fixture
def program(tmp_path: Path) -> Any:
    """Runs lines of ``llmos …`` without a network; gives back what each printed as JSON."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rn", "true"], check=False).returncode:
        pytest.skip("no network namespace can be made here")
    llmos = Path(sys.executable).with_name("llmos")

    def run(*lines: str) -> list[Any]:
        files = [tmp_path / f"{number}.json" for number in range(len(lines))]
        script = " && ".join(f"{llmos} {line} --json > {file}" for line, file in zip(lines, files, strict=True))
        done = subprocess.run(
            ["unshare", "-rn", "sh", "-c", script],
            env=dict(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(file.read_text()) for file in files]

    return run


def test_add_and_search(docs: Path, program: Any) -> None:
    added, found = program(f"disk add {docs}", "disk search 'when should plants be given a drink'")
    assert added["indexed"] == 3 and found["dense"]
    assert found["passages"][0]["source"] == "garden.md"
    assert found["passages"][0]["heading"] == "Garden > Tomatoes"


@pytest.mark.skipif(not bundled_models(), reason="no bundled model in this checkout")
def test_the_bundled_model_answers_from_files_and_cites_them(tmp_path: Path, program: Any) -> None:
    folder = tmp_path / "made up"
    folder.mkdir()
    facts = {
        "karsten.md": (
            "# Karsten organ\n\nThe Karsten organ was built in 1902.\n",
            "When was the Karsten organ built?",
        ),
        "moss.md": ("# Moss Hall\n\nMoss Hall seats 320 people.\n", "How many people does Moss Hall seat?"),
        "falk.md": ("# Falk mine\n\nThe Falk mine closed in 1954.\n", "When did the Falk mine close?"),
    }
    for name, (text, _) in facts.items():
        (folder / name).write_text(text)
    asks = [f"ask '{question}' --temperature 0" for _, question in facts.values()]
    added, *answers = program(f"disk add '{folder}'", *asks)
    assert added["indexed"] == 3
    cited = 0
    for (name, (text, _)), answer in zip(facts.items(), answers, strict=True):
        assert answer["text"] and answer["stop_reason"] == "stop"
        for citation in answer["citations"]:
            assert f"[{citation['number']}]" in answer["text"]
            assert (folder / citation["source"]).is_file()
            assert citation["text"] in text or citation["source"] != name
            assert citation["location"] == {"path": str(folder / citation["source"]), "line": 3, "end_line": 3}
        cited += any(citation["source"] == name for citation in answer["citations"])
        for mark in answer["marks"]:
            assert answer["text"][mark["start"] : mark["end"]] == mark["text"]
    assert cited  # a small model forgets a citation now and then, but not always
