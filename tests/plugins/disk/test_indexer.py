"""Index runs: only what changed is read, renames are free, deletions disappear; local and on a server."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from llmos_disk.indexer import Control
from llmos_disk.lock import Busy
from llmos_disk.progress import Progress
from llmos_disk.service import Disk

from llmos.types import UserError

from .conftest import Embedders, WordEmbedder


@pytest.fixture(params=["local", "server"])
def either(request: Any, make_disk: Callable[..., Disk]) -> Disk:
    """A disk on the local index, and the same on a Chroma server."""
    if request.param == "local":
        return make_disk()
    return make_disk(chroma_url=request.getfixturevalue("chroma_server"))


def found(disk: Disk, query: str) -> list[str]:
    return [hit.passage.relative for hit in disk.search(query).hits]


def vectors(disk: Disk) -> int:
    active = disk.keeper.active()
    return disk.chroma.count(active[1]) if active else 0


def test_the_life_of_a_folder(either: Disk, docs: Path, embedder: WordEmbedder) -> None:
    either.add([str(docs)])
    report = either.index()
    assert (report.indexed, report.skipped, report.missing) == (3, 0, [])
    assert found(either, "water for tomatoes")[0] == "garden.md"
    assert vectors(either) == either.store.counts()["chunks"] == report.chunks

    embedder.embedded.clear()
    again = either.index()
    assert (again.indexed, again.unchanged) == (0, 3) and not embedder.embedded

    os.rename(docs / "garden.md", docs / "plants.md")  # a new name: nothing is embedded
    (docs / "sub").mkdir()
    os.rename(docs / "notes.txt", docs / "sub" / "club.txt")
    moved = either.index()
    assert (moved.renamed, moved.indexed, moved.removed) == (2, 0, 0) and not embedder.embedded
    assert found(either, "water for tomatoes")[0] == "plants.md"
    assert found(either, "club thursday")[0] == os.path.join("sub", "club.txt")
    assert found(either, "plants")[0] == "plants.md"  # the words of the new name count

    (docs / "plants.md").write_text("# Garden\n\nPumpkins want compost.\n")
    changed = either.index()
    assert changed.indexed == 1 and len(embedder.embedded) >= 1
    assert found(either, "pumpkins compost")[0] == "plants.md"
    assert "plants.md" not in [
        h.passage.relative for h in either.search("tomatoes").hits if "Tomato" in h.passage.text
    ]

    (docs / "plants.md").unlink()
    gone = either.index()
    assert gone.removed == 1 and "plants.md" not in found(either, "pumpkins compost")
    assert vectors(either) == either.store.counts()["chunks"]

    either.remove([str(docs)])
    assert either.store.counts() == {"folders": 0, "files": 0, "skipped": 0, "chunks": 0, "contents": 0}
    assert vectors(either) == 0


def test_copies_share_one_text(disk: Disk, docs: Path, embedder: WordEmbedder) -> None:
    disk.add([str(docs)])
    disk.index()
    embedder.embedded.clear()
    (docs / "copy.md").write_bytes((docs / "engine.md").read_bytes())
    assert disk.index().indexed == 1 and not embedder.embedded
    hit = next(hit for hit in disk.search("change the oil").hits if "oil" in hit.passage.text)
    assert {hit.passage.relative, *map(os.path.basename, hit.passage.others)} >= {"engine.md", "copy.md"}
    (docs / "engine.md").unlink()
    disk.index()
    assert "copy.md" in found(disk, "change the oil")


def test_touching_a_file_embeds_nothing(disk: Disk, docs: Path, embedder: WordEmbedder) -> None:
    disk.add([str(docs)])
    disk.index()
    embedder.embedded.clear()
    os.utime(docs / "garden.md", (1, 1))
    assert disk.index().indexed == 1 and not embedder.embedded
    assert disk.index().unchanged == 3


def test_an_unreadable_folder_keeps_its_index(disk: Disk, docs: Path, tmp_path: Path) -> None:
    disk.add([str(docs)])
    disk.index()
    os.rename(docs, tmp_path / "away")
    report = disk.index()
    assert report.removed == 0 and "its index is kept" in report.missing[0]
    assert "garden.md" in found(disk, "tomatoes")


def test_an_inner_folder_has_labels_of_its_own(disk: Disk, docs: Path) -> None:
    (docs / "open").mkdir()
    (docs / "open" / "press.md").write_text("The press release on zeppelins.")
    disk.add([str(docs)])
    disk.index()
    disk.add([str(docs / "open")], public=True, trusted=True)
    disk.index()
    hit = disk.search("zeppelins").hits[0].passage
    assert (hit.private, hit.trusted, hit.folder) == (False, True, "open")
    disk.remove(["open"])
    disk.index()
    assert disk.search("zeppelins").hits[0].passage.private


def test_one_writer(disk: Disk, docs: Path) -> None:
    disk.add([str(docs)])
    with disk.lock(), pytest.raises(Busy, match="another job"):
        disk.index()


def test_one_writer_among_processes(disk: Disk, docs: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys, pathlib\nfrom llmos_disk.lock import WriterLock\n"
        "with WriterLock(pathlib.Path(sys.argv[1])):\n print('held', flush=True)\n sys.stdin.read()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(disk.folder / "index.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert other.stdout is not None and other.stdin is not None
    assert other.stdout.readline() == b"held\n"
    disk.add([str(docs)])
    with pytest.raises(Busy, match="another LLMOS"):
        disk.index()
    other.kill()
    other.wait()
    assert disk.index().indexed == 3  # the lock went with the process


def test_stopping_keeps_whole_files_and_the_next_run_goes_on(disk: Disk, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(30):
        (folder / f"{number:02}.md").write_text(f"# N{number}\n\nnumber{number} stands here\n")
    disk.add([str(folder)])
    seen: list[Progress] = []
    report = disk.index(control=Control(lambda: len(seen) > 12, seen.append))
    assert report.stopped and 0 < report.indexed < 30
    assert disk.store.counts()["files"] == report.indexed
    assert disk.index().indexed == 30 - report.indexed


def test_pausing_holds_and_resuming_goes_on(disk: Disk, docs: Path) -> None:
    disk.add([str(docs)])
    disk.pause(True)
    paused = threading.Event()

    def report(progress: Progress) -> None:
        if progress.stage == "paused":
            paused.set()

    worker = threading.Thread(target=lambda: disk.index(control=Control(report=report)))
    worker.start()
    assert paused.wait(20) and disk.store.counts()["files"] == 0
    disk.pause(False)
    worker.join(20)
    assert not worker.is_alive() and disk.store.counts()["files"] == 3


def test_progress_tells_rate_and_time_left(disk: Disk, docs: Path) -> None:
    lines: list[str] = []
    disk.add([str(docs)])
    disk.index(control=Control(report=lambda progress: lines.append(progress.line())))
    assert any("chunks/s" in line and "left" in line and "/3 files" in line for line in lines)


def test_without_an_embedder_words_are_searched_and_vectors_come_later(
    make_disk: Callable[..., Disk], docs: Path, embedder: WordEmbedder
) -> None:
    embedders = Embedders(None)
    disk = make_disk(embedders=embedders)
    disk.add([str(docs)])
    disk.index()
    result = disk.search("tomatoes")
    assert not result.dense and result.hits[0].passage.relative == "garden.md"
    embedders.change(embedder)
    disk.index()
    assert disk.search("tomatoes").dense and vectors(disk) == disk.store.counts()["chunks"]


def test_changing_the_embedder_lets_the_old_one_serve_until_all_is_embedded(
    make_disk: Callable[..., Disk], docs: Path, embedder: WordEmbedder
) -> None:
    embedders = Embedders(embedder)
    disk = make_disk(embedders=embedders)
    (docs / "long.md").write_text("".join(f"# Part {n}\n\nword{n} and more\n\n" for n in range(60)))
    disk.add([str(docs)])
    disk.index()
    embedders.change(WordEmbedder("words:2", width=48))
    stop = [False]

    def report(progress: Progress) -> None:
        if progress.stage == "embedding" and progress.chunks:
            served.append(disk.search("tomatoes").hits[0].similarity or 0.0)
            stop[0] = True

    served: list[float] = []
    disk.index(control=Control(lambda: stop[0], report))
    assert served and served[0] > 0.2  # in the middle of it the old vectors answered
    active = disk.keeper.active()
    assert active is not None and active[1] == "words:1"
    disk.index()
    active = disk.keeper.active()
    assert active is not None and active[1] == "words:2"
    assert vectors(disk) == disk.store.counts()["chunks"] and disk.search("tomatoes").dense
    rows = disk.store.db.execute("SELECT COUNT(*) FROM vectors").fetchone()[0]
    assert rows == disk.store.counts()["chunks"]  # the old ones are gone


def test_a_damaged_embedder_is_one_sentence(make_disk: Callable[..., Disk], docs: Path) -> None:
    class Broken(WordEmbedder):
        def embed(self, texts: Any) -> Any:
            return super().embed(texts) * float("nan")

    disk = make_disk(embedders=Embedders(Broken()))
    disk.add([str(docs)])
    with pytest.raises(UserError, match="embedder words:1 cannot be used"):
        disk.index()
    assert disk.store.counts()["files"] == 0


def test_adding_what_is_not_there(disk: Disk, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist; nothing was added"):
        disk.add([str(tmp_path / "gone")])
    with pytest.raises(UserError, match="is the index itself"):
        disk.add([str(disk.folder)])
    with pytest.raises(UserError, match="neither a folder nor a file"):
        disk.add(["/dev/null"])


def test_two_folders_of_one_name_are_told_apart(disk: Disk, tmp_path: Path) -> None:
    for parent in ("a", "b"):
        (tmp_path / parent / "docs").mkdir(parents=True)
    first, second = disk.add([str(tmp_path / "a" / "docs"), str(tmp_path / "b" / "docs")])
    assert (first.name, second.name) == ("docs", "b/docs")
    assert disk.find_folder("b/docs").id == second.id


def test_connections_of_threads_that_ended_are_closed(disk: Disk, docs: Path) -> None:
    disk.add([str(docs)])
    disk.index()
    for _ in range(10):
        worker = threading.Thread(target=lambda: disk.search("oil", mode="words"))
        worker.start()
        worker.join()
    assert len(disk.store._all) <= 3


def test_copies_that_come_together_are_indexed_once(disk: Disk, docs: Path) -> None:
    for number in range(3):
        (docs / f"same{number}.md").write_text("# Same\n\nthe very same penguin\n")
    disk.add([str(docs)])
    assert disk.index().indexed == 6
    assert vectors(disk) == disk.store.counts()["chunks"]
    hit = disk.search("penguin").hits[0].passage
    assert len(hit.others) == 2
