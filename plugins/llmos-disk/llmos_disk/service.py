"""The disk as one object: database, vector index, indexer, search. Opened when first used."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmos.types import UserError
from llmos_disk.chroma_index import ChromaIndex
from llmos_disk.embedding import EmbedderSource
from llmos_disk.index_health import IndexKeeper
from llmos_disk.indexer import Control, Indexer, Report
from llmos_disk.lock import WriterLock
from llmos_disk.progress import Progress
from llmos_disk.query import Filter
from llmos_disk.records import Folder, display_path
from llmos_disk.scan import Limits
from llmos_disk.search import Found, Searcher
from llmos_disk.store import Store


@dataclass(frozen=True, slots=True)
class DiskSettings:
    """What a user can set; the manifest describes each."""

    retrieve: str = "auto"
    passages: int = 5
    chroma_url: str = ""
    chroma_token: str = ""
    max_file_mb: float = 50.0
    max_depth: int = 40
    watch: bool = True
    focus: str = "auto"

    @staticmethod
    def from_mapping(values: Any) -> DiskSettings:
        """From the host's settings; unknown ones are left out.

        Raises:
            UserError: a value is of the wrong kind.
        """
        known = {name: values[name] for name in DiskSettings.__dataclass_fields__ if name in values}
        try:
            settings = DiskSettings(**known)
            for name in ("retrieve", "focus"):
                assert getattr(settings, name) in ("always", "auto", "never"), name
            return DiskSettings(
                settings.retrieve,
                max(1, int(settings.passages)),
                str(settings.chroma_url),
                str(settings.chroma_token),
                float(settings.max_file_mb),
                int(settings.max_depth),
                bool(settings.watch),
                settings.focus,
            )
        except (TypeError, ValueError, AssertionError) as error:
            raise UserError(f"A setting of the plugin disk is not valid: {error}.") from error


class Disk:
    """Folders, index and search of one user.

    Args:
        folder: where the index lies.
        embedders: where vectors come from.
        settings: what the user set.
        notify: one line to the user.
        may_connect: raises when the network may not be used; asked before a Chroma server is.
    """

    def __init__(
        self,
        folder: Path,
        embedders: EmbedderSource,
        settings: DiskSettings | None = None,
        notify: Callable[[str], None] = lambda text: None,
        may_connect: Callable[[], None] = lambda: None,
    ) -> None:
        """See the class."""
        self.folder = folder
        self.settings = settings or DiskSettings()
        self.embedders = embedders
        self._notify = notify
        self._writer = uuid.uuid4().hex[:12]
        folder.mkdir(parents=True, exist_ok=True)
        if self.settings.chroma_url:
            may_connect()
        self.store = Store(folder / "disk.db")
        namespace = self.store.meta("namespace")
        if not namespace:
            namespace = f"llmos-{uuid.uuid4().hex[:12]}"
            self.store.set_meta("namespace", namespace)
        self.chroma = ChromaIndex(
            folder / "chroma",
            url=self.settings.chroma_url,
            token=self.settings.chroma_token,
            namespace=namespace,
        )
        self.keeper = IndexKeeper(self.store, self.chroma, self._writer, notify)
        self.searcher = Searcher(self.store, self.keeper, embedders, notify)
        self.progress = Progress()
        self._lock = threading.Lock()

    @property
    def limits(self) -> Limits:
        """Limits of a scan."""
        return Limits(max_bytes=int(self.settings.max_file_mb * 1e6), max_depth=self.settings.max_depth)

    def lock(self) -> WriterLock:
        """The writer's lock, to be used with ``with``."""
        return WriterLock(self.folder / "index.lock")

    # folders

    def add(self, paths: Sequence[str], *, public: bool = False, trusted: bool = False) -> list[Folder]:
        """Add folders or single files; labels of those that are there already are changed.

        Raises:
            UserError: a path does not exist, cannot be read, or is the index itself.
        """
        added = []
        for text in paths:
            path = os.path.realpath(os.fsencode(os.path.expanduser(text)))
            if not os.path.exists(path):
                raise UserError(f"The path {display_path(path)} does not exist; nothing was added.")
            if not os.path.isdir(path) and not os.path.isfile(path):
                raise UserError(f"{display_path(path)} is neither a folder nor a file; nothing was added.")
            if not os.access(path, os.R_OK):
                raise UserError(f"{display_path(path)} may not be read by you; nothing was added.")
            own = os.fsencode(os.path.realpath(self.folder))
            if path == own or path.startswith(own + b"/"):
                raise UserError(f"{display_path(path)} is the index itself; add another folder.")
            added.append(path)
        return [
            self.store.add_folder(path, self._name_for(path), private=not public, trusted=trusted)
            for path in added
        ]

    def _name_for(self, path: bytes) -> str:
        """Last part of the path; with more of it where another folder has the same."""
        parts = [part for part in display_path(path).split("/") if part]
        taken = {folder.name for folder in self.store.folders() if folder.path != path}
        for length in range(1, len(parts) + 1):
            name = "/".join(parts[-length:])
            if name not in taken:
                return name
        return display_path(path)

    def find_folder(self, name: str) -> Folder:
        """A folder by name, path or number.

        Raises:
            UserError: there is none.
        """
        path = os.path.realpath(os.fsencode(os.path.expanduser(name)))
        for folder in self.store.folders():
            if name in (folder.name, str(folder.id), folder.display) or folder.path == path:
                return folder
        raise UserError(f"No folder {name!r} is in the index; `llmos disk list` shows them.")

    def remove(self, names: Sequence[str]) -> list[Folder]:
        """Forget folders, their text and vectors; the files themselves are left alone."""
        folders = [self.find_folder(name) for name in names]
        with self.lock():
            for folder in folders:
                self.store.remove_folder(folder.id)
            self.keeper.ready_to_write()
            self.keeper.catch_up()
            self.chroma.remember()
        return folders

    # index

    def index(self, folders: Sequence[Folder] | None = None, control: Control | None = None) -> Report:
        """One index run.

        Raises:
            Busy: another writes the index.
            UserError: see ``Indexer.run``.
        """
        control = control or Control()
        outer = control.report

        def note(progress: Progress) -> None:
            self.progress = progress
            outer(progress)

        with self.lock():
            indexer = Indexer(self.store, self.keeper, self.embedders, self.limits, self._writer)
            try:
                return indexer.run(folders, Control(control.cancelled, note))
            finally:
                if not self.chroma.remote:
                    self.chroma.remember()

    def rebuild(self, progress: Callable[[str], None] = lambda text: None) -> int:
        """Make the vector index anew from the database; nothing is embedded again."""
        with self.lock():
            return self.keeper.rebuild(progress)

    def pause(self, paused: bool) -> None:
        """Pause or resume every index run, in any process."""
        self.store.set_meta("paused", "1" if paused else "")

    @property
    def paused(self) -> bool:
        """Whether runs are paused."""
        return self.store.meta("paused") == "1"

    # search

    def search(
        self,
        text: str,
        *,
        limit: int = 8,
        within: Filter | None = None,
        mode: str = "fused",
        merge: bool = True,
    ) -> Found:
        """See ``Searcher.search``."""
        return self.searcher.search(text, limit=limit, within=within, mode=mode, merge=merge)

    def close(self) -> None:
        """Let go of everything."""
        self.keeper.close()
        self.store.close()
