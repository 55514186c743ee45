from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from llmos.bench.random_gguf import write_random_gguf
from llmos.cli.models import models
from llmos.settings import folders, load_settings
from llmos.types import UserError
from tests.helpers.hub_stub import HubStub


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_gguf(tmp_path_factory.mktemp("gguf") / "Tiny-Q8_0.gguf", quantisation="Q8_0")


@pytest.fixture(autouse=True)
def home(tmp_path: Path) -> Iterator[Path]:
    os.environ["HOME"] = str(tmp_path)
    os.environ["HF_HOME"] = str(tmp_path / "hf")
    os.environ["HF_HUB_OFFLINE"] = "1"
    yield tmp_path


def run(*arguments: str) -> str:
    result = CliRunner().invoke(models, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def run_json(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json"))


def test_a_file_is_imported_listed_chosen_and_removed(tiny: Path) -> None:
    folders().make()
    folders().settings_file.write_text("# mine\n[model]\ncontext = 2048 # small\n")
    imported = run_json("import", str(tiny), "--name", "mine")
    assert Path(imported["path"]).read_bytes() == tiny.read_bytes()
    with pytest.raises(UserError, match="already"):
        run("import", str(tiny), "--name", "mine")
    assert "mine" in run("list")
    run("default", "mine")
    assert load_settings().model.name == "mine" and load_settings().model.context == 2048
    assert "# small" in folders().settings_file.read_text()
    assert [one["name"] for one in run_json("list") if one["default"]] == ["mine"]
    assert run_json("rm", "mine")["freed"] == tiny.stat().st_size
    assert not Path(imported["path"]).exists()
    run("default")
    assert load_settings().model.name == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rm", "nothing"], "no model nothing"),
        (["default", "qwen3.5-2b"], "not on this machine"),
        (["import", "/nowhere.gguf"], "no model file"),
        (["pull", "qwen3.5-2b"], "switched off"),
        (["search", "x", "--hub"], "switched off"),
        (["show", "??"], "is no model"),
        (["pull", "org/Some-GGUF"], "switched off"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(arguments: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words) as error:
        run(*arguments)
    assert "\n" not in str(error.value)


def test_fit_search_and_show_need_no_network(tiny: Path) -> None:
    fit = run_json("fit")
    assert fit["machine"]["available"] > 0
    assert len(fit["models"]) >= 20
    assert run_json("fit", str(tiny))["verdict"] == "fits"
    assert next(one["name"] for one in run_json("search", "qwen3.5", "--task", "vision")) == "qwen3.5-0.8b"
    shown = run_json("show", str(tiny))
    assert shown["architecture"] == "llama" and shown["chat_template"] is True
    assert run_json("show", "qwen3.5-2b", "--context", "4096")["fit"]["context"] == 4096


def test_pull_from_a_hub(tiny: Path) -> None:
    with HubStub({"org/Tiny-GGUF": {"Tiny-Q8_0.gguf": tiny.read_bytes()}}) as stub:
        os.environ["HF_ENDPOINT"] = stub.url
        del os.environ["HF_HUB_OFFLINE"]
        pulled = run_json("pull", "org/Tiny-GGUF:Q8_0", "--default")
        assert Path(pulled["path"]).read_bytes() == tiny.read_bytes()
        assert load_settings().model.name == pulled["path"]
        assert "org/Tiny-GGUF:Q8_0" in [one["name"] for one in run_json("list")]
        assert run_json("show", "org/Tiny-GGUF:Q8_0")["origin"] == "huggingface"
        assert run_json("rm", "org/Tiny-GGUF:Q8_0")["freed"] == tiny.stat().st_size
        assert not Path(pulled["path"]).exists()
        assert "org/Tiny-GGUF" in run("search", "tiny", "--hub")
