"""kill -9 at any moment of an index run: what was acknowledged is there, nothing is half there."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from llmos_disk.service import Disk

_RUN = """
import sys, pathlib
sys.path.insert(0, sys.argv[3])
from tests.plugins.disk.conftest import Embedders, WordEmbedder
from llmos_disk.service import Disk
from llmos_disk import commit
commit._CHUNKS = commit._FILES = 8
disk = Disk(pathlib.Path(sys.argv[1]), Embedders(WordEmbedder()))
finish = disk.store.finish
def acknowledged(batch, writer):
    finish(batch, writer)
    for item in batch:
        print(item.relative, flush=True)
disk.store.finish = acknowledged
disk.add([sys.argv[2]])
print("READY", flush=True)
disk.index()
print("END", flush=True)
"""
_FILES = 120


def _loop(times: int, tmp_path: Path, make_disk: Callable[..., Disk]) -> None:
    folder, index = tmp_path / "many", tmp_path / "index"
    folder.mkdir()
    texts = {}
    for number in range(_FILES):
        texts[f"{number:03}.md"] = "".join(f"# P{part}\n\nfile{number} part{part}\n\n" for part in range(6))
        (folder / f"{number:03}.md").write_text(texts[f"{number:03}.md"])
    root = Path(__file__).resolve().parents[3]
    randomly = random.Random(7)
    acknowledged: set[str] = set()
    for round_ in range(times):
        process = subprocess.Popen(
            [sys.executable, "-c", _RUN, str(index), str(folder), str(root)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        assert any(line == "READY\n" for line in lines)
        wanted = randomly.randint(0, 40)  # die after so many acknowledged files …
        ended = False
        for _ in range(wanted):
            line = next(lines, "END\n").strip()
            if line == "END":
                ended = True
                break
            acknowledged.add(line)
        time.sleep(randomly.random() * 0.05)  # … and somewhere within the next commit
        os.kill(process.pid, signal.SIGKILL)
        rest = process.stdout.read().split("\n")
        acknowledged.update(line for line in rest if line.endswith(".md"))
        process.wait()
        if ended:  # begin anew with other texts, so that later rounds have work
            for name in texts:
                texts[name] = texts[name].replace(" part", f" again{round_} part")
                (folder / name).write_text(texts[name])
            acknowledged.clear()
    disk = make_disk()
    done = {row.relative: row for row in disk.store.files(skipped=False)}
    assert acknowledged <= set(done), "an acknowledged file is missing"
    for name, row in done.items():
        passages = disk.store.passages_of_file(row.seen.path)
        assert [passage.ordinal for passage in passages] == list(range(6)), f"{name} is half there"
    report = disk.index()
    assert report.missing == [] and disk.store.counts()["files"] == _FILES
    active = disk.keeper.active()
    assert active is not None
    assert sorted(disk.chroma.keys(active[1])) == sorted(
        f"{row[0]}:{row[1]}" for row in disk.store.db.execute("SELECT content, ordinal FROM chunks")
    )
    for name in ("000.md", "077.md"):
        found = disk.search(f"file{int(name[:3])} part3", limit=3)
        assert not found.exact and name in {hit.passage.relative for hit in found.hits}


def test_killed_twice(tmp_path: Path, make_disk: Callable[..., Disk]) -> None:
    _loop(2, tmp_path, make_disk)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_killed_twenty_times(tmp_path: Path, make_disk: Callable[..., Disk]) -> None:
    _loop(20, tmp_path, make_disk)
