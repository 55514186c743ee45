"""Committing prepared files in batches, beside the embedding of the next ones."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from llmos_disk.embedding import Embedder
from llmos_disk.index_health import IndexKeeper
from llmos_disk.records import Prepared
from llmos_disk.store import Store

#: Chunks, and files, after which a batch is committed.
_CHUNKS = 256
_FILES = 64


class Committer:
    """Takes prepared files; one thread writes them while the caller embeds the next.

    Order: database (not visible) → Chroma → database (visible). At most one batch waits.
    """

    def __init__(self, store: Store, keeper: IndexKeeper, writer: str) -> None:
        """See the class."""
        self._store = store
        self._keeper = keeper
        self._writer = writer
        self._batch: list[Prepared] = []
        self._embedder: Embedder | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="disk-commit")
        self._pending: Future[None] | None = None

    def add(self, item: Prepared, embedder: Embedder | None) -> None:
        """Take a file; commits when enough have come together.

        Raises:
            whatever the commit before this one raised.
        """
        if self._batch and embedder is not self._embedder:
            self.flush()
        self._embedder = embedder
        self._batch.append(item)
        if sum(len(one.chunks) for one in self._batch) >= _CHUNKS or len(self._batch) >= _FILES:
            self.flush()

    def flush(self) -> None:
        """Hand the batch to the writing thread, once the one before is done."""
        self.wait()
        batch, embedder = self._batch, self._embedder
        self._batch = []
        if batch:
            self._pending = self._pool.submit(self._write, batch, embedder)

    def wait(self) -> None:
        """Until everything handed over is committed; raises what went wrong there."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def _write(self, batch: list[Prepared], embedder: Embedder | None) -> None:
        embedder_id = None
        if embedder is not None:
            width = next((item.vectors.shape[1] for item in batch if item.vectors is not None), 0)
            active = self._keeper.active()
            if active is not None and active[1] == embedder.name:
                embedder_id = active[0]
            elif width:
                embedder_id = self._store.embedder(embedder.name, width)
        vectors = self._store.begin(batch, embedder_id)
        if embedder is not None and vectors:
            self._keeper.chroma.upsert(embedder.name, vectors)
        self._store.finish(batch, self._writer)

    def __enter__(self) -> Committer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit what is left, unless an error is on its way out."""
        try:
            if kind is None:
                self.flush()
            self.wait()
        finally:
            self._pool.shutdown(wait=True)
