"""Keeping SQLite and Chroma in step: probe, set aside, rebuild, take up what a crash left."""

from __future__ import annotations

import threading
from collections.abc import Callable

from llmos.types import UserError
from llmos_disk.chroma_index import ChromaIndex, IndexDamaged
from llmos_disk.store import Store

_SAMPLE = 3


class IndexKeeper:
    """Opens the vector index in a state that agrees with the database.

    Args:
        store: the truth.
        chroma: the index.
        writer: a mark of this process; changes by others make it read the index anew.
        notify: one line to the user.
    """

    def __init__(self, store: Store, chroma: ChromaIndex, writer: str, notify: Callable[[str], None]) -> None:
        """See the class."""
        self.store = store
        self.chroma = chroma
        self._writer = writer
        self._notify = notify
        self._checked = False
        self._generation = ""
        self._usable: bool | None = None
        self._lock = threading.Lock()

    def active(self) -> tuple[int, str] | None:
        """(row, name) of the embedder that serves; None before anything was embedded."""
        active = self.store.active_embedder()
        return (active[0], active[1]) if active else None

    def ready_to_write(self, progress: Callable[[str], None] = lambda text: None) -> None:
        """Before the first write: damaged? then set aside and rebuild. The writer's lock must be held.

        Raises:
            UserError: the disk is full, or a Chroma server does not answer.
        """
        active = self.active()
        if active is None:
            return
        embedder_id, name = active
        if not self._checked or self._usable is False:
            sample = self.store.sample_vectors(embedder_id, _SAMPLE)
            expected = self._expected(embedder_id)
            damaged = ""
            if self.chroma.changed_behind_us() and not self.chroma.survives_use(name, sample, expected):
                damaged = "it cannot be used"
            else:
                try:
                    self.chroma.probe(name, expected, sample)
                except IndexDamaged as error:
                    damaged = str(error)
            if damaged:
                self.rebuild(progress, because=damaged)
            self._checked, self._usable = True, True
        self._bury()

    def catch_up(self) -> None:
        """After a run: text that no file holds any more goes, from the database and from Chroma."""
        while self.store.sweep():
            self._bury()
        self._bury()

    def _bury(self) -> None:
        active = self.active()
        while keys := self.store.tombstones():
            if active is not None:
                self.chroma.delete(active[1], keys)
            self.store.forgotten(keys)
            self.store.bump(self._writer)

    def rebuild(self, progress: Callable[[str], None] = lambda text: None, because: str = "") -> int:
        """Make the index anew from the stored vectors; nothing is embedded. Returns their number."""
        active = self.active()
        if active is None:
            return 0
        aside = self.chroma.set_aside()
        if because:
            where = f", the old one is kept as {aside.name}" if aside else ""
            self._notify(f"The vector index was damaged ({because}); it is rebuilt from the database{where}.")
        total = self.chroma.rebuild(
            active[1],
            self.store.vector_pages(active[0]),
            lambda done: progress(f"rebuilding the vector index: {done:,} chunks"),
        )
        self.store.bump(self._writer)
        self.chroma.remember()
        self._checked, self._usable = True, True
        return total

    def _expected(self, embedder_id: int) -> int:
        return int(
            self.store.db.execute(
                "SELECT COUNT(*) FROM vectors v JOIN chunks c ON c.id=v.chunk_id "
                "JOIN contents t ON t.id=c.content WHERE v.embedder_id=? AND t.done=1",
                (embedder_id,),
            ).fetchone()[0]
        )

    def query(self, vector: object, count: int) -> list[tuple[str, float]] | None:
        """(id, similarity) from Chroma; None when it must not be trusted (search the database then).

        A reader cannot mend the index; it only finds out once whether it answers as it should.
        """
        active = self.active()
        if active is None:
            return None
        with self._lock:
            generation = self.store.meta("generation")
            if generation != self._generation:
                by_us = generation.endswith(f":{self._writer}")
                if self._generation and not by_us:
                    self.chroma.reopen()
                    self._usable = None
                self._generation = generation
            if self._usable is None:
                self._usable = self._answers(*active)
            if not self._usable:
                return None
        try:
            return self.chroma.query(active[1], vector, count)
        except UserError as error:
            self._usable = False
            self._notify(f"{error} The stored vectors are searched instead.")
            return None

    def _answers(self, embedder_id: int, name: str) -> bool:
        if not self.chroma.remote and not self.chroma.folder.exists():
            return False
        try:
            self.chroma.probe(name, self._expected(embedder_id), self.store.sample_vectors(embedder_id, 2))
        except (IndexDamaged, UserError) as error:
            self._notify(
                f"The vector index does not answer as it should ({error}); the stored vectors are searched "
                "instead until the next index run mends it (`llmos disk rebuild` does so now)."
            )
            return False
        return True

    def close(self) -> None:
        """Let go of the index."""
        self.chroma.close()
