"""Watching folders: events are hints, a reconciling scan is what counts."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

from llmos.types import UserError
from llmos_disk.indexer import Control, Report
from llmos_disk.lock import Busy
from llmos_disk.records import Folder
from llmos_disk.service import Disk

#: Seconds without an event before the folders are scanned.
DEBOUNCE = 0.5
#: Seconds between scans that need no event.
RECONCILE = 600.0
#: Seconds between attempts while another process writes the index.
_RETRY = 5.0
#: Seconds between looks at the list of folders.
_LOOK = 2.0


class Watcher:
    """Keeps the index in step with the folders until it is told to stop.

    Args:
        disk: the index.
        on_report: called after each run that changed something.
    """

    def __init__(self, disk: Disk, on_report: Callable[[Report], None] = lambda report: None) -> None:
        """See the class."""
        self._disk = disk
        self._on_report = on_report
        self._changed = threading.Event()
        self._lock = threading.Lock()
        self._dirty: set[bytes] = set()
        self._observer: Any = None
        self._watched: dict[bytes, Any] = {}
        self._known: set[bytes] = set()
        self.blind: list[str] = []

    def run(self, control: Control, *, debounce: float = DEBOUNCE, reconcile: float = RECONCILE) -> None:
        """Scan at start, then after events and now and then, until ``control.cancelled``."""
        from watchdog.observers import Observer

        self._observer = Observer()
        self._observer.start()
        try:
            self._follow()
            self._scan(None, control)
            last = looked = time.monotonic()
            while not control.cancelled():
                if time.monotonic() - looked > _LOOK:
                    looked = time.monotonic()
                    self._take_up_new(control)
                if self._changed.wait(0.2):
                    while self._changed.is_set() and not control.cancelled():  # wait for a quiet moment
                        self._changed.clear()
                        self._changed.wait(debounce)
                    folders = self._take_dirty()
                    if folders:
                        self._scan(folders, control)
                elif time.monotonic() - last > reconcile:
                    last = time.monotonic()
                    self._follow()
                    self._scan(None, control)
        finally:
            self._observer.stop()
            self._observer.join(5)

    def _follow(self) -> None:
        """Watch every folder of the index; those that cannot be watched are scanned now and then."""
        from watchdog.events import FileSystemEventHandler

        watcher = self

        class Handler(FileSystemEventHandler):  # type: ignore[misc]
            def __init__(self, folder: Folder) -> None:
                self._folder = folder

            def on_any_event(self, event: Any) -> None:
                if event.event_type not in ("opened", "closed_no_write"):
                    with watcher._lock:
                        watcher._dirty.add(self._folder.path)
                    watcher._changed.set()

        wanted = {folder.path: folder for folder in self._disk.store.folders()}
        self._known = set(wanted)
        for path in set(self._watched) - set(wanted):
            self._observer.unschedule(self._watched.pop(path))
        for path, folder in wanted.items():
            if path in self._watched:
                continue
            target = path if os.path.isdir(path) else os.path.dirname(path)
            try:
                self._watched[path] = self._observer.schedule(
                    Handler(folder), os.fsdecode(target), recursive=os.path.isdir(path)
                )
            except OSError:
                if folder.display not in self.blind:  # gone, or no watches left: the scans still find changes
                    self.blind.append(folder.display)

    def _take_up_new(self, control: Control) -> None:
        """Folders that were added meanwhile, here or by another process."""
        new = [folder for folder in self._disk.store.folders() if folder.path not in self._known]
        self._follow()
        if new:
            self._scan(new, control)

    def _take_dirty(self) -> list[Folder]:
        with self._lock:
            paths, self._dirty = self._dirty, set()
        return [folder for folder in self._disk.store.folders() if folder.path in paths]

    def _scan(self, folders: list[Folder] | None, control: Control) -> None:
        if not self._disk.store.folders():
            return
        try:
            report = self._disk.index(folders, control)
        except Busy:  # the other one scans too; look again soon
            with self._lock:
                self._dirty.update(folder.path for folder in folders or self._disk.store.folders())
            deadline = time.monotonic() + _RETRY
            while time.monotonic() < deadline and not control.cancelled():
                time.sleep(0.1)
            self._changed.set()
            return
        except UserError as error:
            self._on_report(Report(missing=[str(error)]))
            return
        if report.indexed or report.removed or report.renamed or report.missing:
            self._on_report(report)
