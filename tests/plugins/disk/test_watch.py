"""Watching: what changes is indexed soon, whatever the events say."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from llmos_disk.indexer import Control, Report
from llmos_disk.service import Disk
from llmos_disk.watch import Watcher


@pytest.fixture
def watch(disk: Disk, docs: Path) -> Iterator[list[Report]]:
    disk.add([str(docs)])
    reports: list[Report] = []
    stop = threading.Event()
    watcher = Watcher(disk, reports.append)
    thread = threading.Thread(
        target=lambda: watcher.run(Control(stop.is_set), debounce=0.1, reconcile=3600.0), daemon=True
    )
    thread.start()
    until(lambda: disk.store.counts()["files"] == 3)
    yield reports
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_new_changed_and_removed_files_are_followed(watch: list[Report], disk: Disk, docs: Path) -> None:
    for number in range(50):  # a burst
        (docs / f"burst{number}.md").write_text(f"# B\n\nburstword{number}\n")
    until(lambda: disk.store.counts()["files"] == 53)
    (docs / "burst7.md").write_text("# B\n\nanotherword\n")
    until(lambda: bool(disk.search("anotherword", mode="words").hits))
    (docs / "burst8.md").unlink()
    until(lambda: disk.store.counts()["files"] == 52)
    (docs / "sub").mkdir()
    (docs / "sub" / "inner.md").write_text("innerword")
    until(lambda: bool(disk.search("innerword", mode="words").hits))
    assert sum(report.removed for report in watch) == 1


def test_the_lock_of_another_is_waited_for(watch: list[Report], disk: Disk, docs: Path) -> None:
    with disk.lock():
        (docs / "late.md").write_text("lateword")
        time.sleep(0.5)
        assert not disk.search("lateword", mode="words").hits
    until(lambda: bool(disk.search("lateword", mode="words").hits))


def test_a_scan_now_and_then_finds_what_events_miss(
    disk: Disk, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.add([str(docs)])
    stop = threading.Event()
    watcher = Watcher(disk)
    monkeypatch.setattr(watcher, "_follow", lambda: None)  # no events at all
    thread = threading.Thread(
        target=lambda: watcher.run(Control(stop.is_set), debounce=0.1, reconcile=0.3), daemon=True
    )
    thread.start()
    until(lambda: disk.store.counts()["files"] == 3)
    (docs / "silent.md").write_text("silentword")
    until(lambda: disk.store.counts()["files"] == 4)
    stop.set()
    thread.join(10)


def test_a_folder_that_is_added_meanwhile_is_taken_up(watch: list[Report], disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "a.md").write_text("firstword")
    disk.add([str(tmp_path / "later")])
    until(lambda: bool(disk.search("firstword", mode="words").hits))
    (tmp_path / "later" / "b.md").write_text("secondword")
    until(lambda: bool(disk.search("secondword", mode="words").hits))
