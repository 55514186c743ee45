"""One index run: scan, compare, read, cut, embed, commit. Incremental, and safe to kill at any moment."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmos.types import UserError
from llmos_disk.blocks import Block, Unreadable
from llmos_disk.chunker import chunk_blocks, passage_text
from llmos_disk.commit import Committer
from llmos_disk.embedding import BATCH, Embedder, EmbedderSource, to_half
from llmos_disk.index_health import IndexKeeper
from llmos_disk.isolate import ReaderProcess
from llmos_disk.progress import Progress
from llmos_disk.readers import ISOLATED, kind_of, read
from llmos_disk.reading import read_file
from llmos_disk.records import Folder, Prepared, Seen, display_path
from llmos_disk.scan import Limits, scan
from llmos_disk.store import Store

#: Version of readers and chunker; a new one reads every file again.
READER_VERSION = "1"


@dataclass(slots=True)
class Report:
    """What a run did."""

    indexed: int = 0
    unchanged: int = 0
    renamed: int = 0
    removed: int = 0
    skipped: int = 0
    ignored: int = 0
    chunks: int = 0
    seconds: float = 0.0
    stopped: bool = False
    missing: list[str] = field(default_factory=list)

    def line(self) -> str:
        """One line for people."""
        parts = [f"{self.indexed:,} indexed ({self.chunks:,} chunks)", f"{self.unchanged:,} unchanged"]
        for count, word in ((self.renamed, "renamed"), (self.removed, "removed"), (self.skipped, "skipped")):
            if count:
                parts.append(f"{count:,} {word}")
        text = ", ".join(parts) + f" in {self.seconds:.1f} s"
        return text + " (stopped; the next run goes on from here)" if self.stopped else text


@dataclass(slots=True)
class Control:
    """How the outside steers a run: both are asked between batches."""

    cancelled: Callable[[], bool] = lambda: False
    report: Callable[[Progress], None] = lambda progress: None


class Indexer:
    """Brings the index into step with the folders.

    Args:
        store: the database.
        keeper: the vector index.
        embedders: where vectors come from.
        limits: what a scan takes in.
        writer: mark of this process.
    """

    def __init__(
        self, store: Store, keeper: IndexKeeper, embedders: EmbedderSource, limits: Limits, writer: str
    ) -> None:
        """See the class."""
        self.store = store
        self._keeper = keeper
        self._embedders = embedders
        self._limits = limits
        self._writer = writer
        self._reader = ReaderProcess()

    def run(self, folders: Sequence[Folder] | None = None, control: Control | None = None) -> Report:
        """One run over some folders, or all. The writer's lock must be held.

        Raises:
            UserError: the disk is full, or the embedder or Chroma server fails; what was committed stays.
        """
        control = control or Control()
        report, progress = Report(), Progress(stage="scan")
        started = time.monotonic()
        try:
            self._keeper.ready_to_write(lambda text: control.report(_staged(progress, text)))
            work = list(self._compare(folders or self.store.folders(), report, progress, control))
            if work and not control.cancelled():
                self._index(work, report, progress, control)
            self._keeper.catch_up()
            if not control.cancelled():
                self._reembed(progress, control)
            report.stopped = control.cancelled()
        except sqlite3.OperationalError as error:
            if "full" in str(error):
                raise UserError(
                    f"The disk is full: the index {self.store.file} cannot grow; free some space. "
                    "What was indexed before is safe."
                ) from error
            raise UserError(f"The index {self.store.file} cannot be written ({error}).") from error
        except OSError as error:
            raise UserError(f"The index cannot be written ({error.strerror or error}).") from error
        finally:
            report.seconds = time.monotonic() - started
            progress.stage = "done"
            control.report(progress)
            self._reader.close()
        return report

    # what has changed

    def _compare(
        self, folders: Sequence[Folder], report: Report, progress: Progress, control: Control
    ) -> Iterator[tuple[Folder, Seen]]:
        """Scan; deal with everything that needs no reading; yield the files that do."""
        roots = {folder.path for folder in self.store.folders()}
        known = self.store.known()
        version_changed = self.store.meta("reader_version", READER_VERSION) != READER_VERSION
        candidates: list[tuple[Folder, Seen]] = []
        gone: dict[bytes, tuple[Seen, int]] = {}
        present: set[bytes] = set()  # by any folder: a file may have passed from one to another
        for folder in folders:
            progress.current = folder.display
            control.report(progress)
            try:
                found = scan(
                    folder.path, self._limits, elsewhere=roots - {folder.path}, cancelled=control.cancelled
                )
            except OSError as error:
                report.missing.append(f"{folder.display} cannot be read ({error.strerror}); its index is kept")
                continue
            report.ignored += found.ignored
            for seen in found.files:
                present.add(seen.path)
                before = known.get(seen.path)
                again = before is not None and before[3].startswith("cannot")  # it may be allowed by now
                if before and before[0] == seen and not version_changed and not again:
                    report.unchanged += 1
                    if before[2] != folder.id:
                        self.store.touch_file(before[1], folder.id, seen)
                else:
                    candidates.append((folder, seen))
            for seen, reason in found.skipped:
                present.add(seen.path)
                report.skipped += 1
                before = known.get(seen.path)
                if not before or before[0] != seen:
                    relative = _relative(folder, seen.path)
                    self.store.skip(folder.id, seen, relative, "", reason)
            for path, (seen, file_id, owner, _) in known.items():
                if owner == folder.id and path not in present and not _below(path, found.unsure):
                    gone[path] = (seen, file_id)
            if not control.cancelled():
                self.store.scanned(folder.id, found.ignored)
        for path in present & gone.keys():
            del gone[path]
        yield from self._renames(candidates, gone, report)
        if gone:
            self.store.drop_files([file_id for _, file_id in gone.values()])
            report.removed += len(gone)
        self.store.set_meta("reader_version", READER_VERSION)

    def _renames(
        self,
        candidates: list[tuple[Folder, Seen]],
        gone: dict[bytes, tuple[Seen, int]],
        report: Report,
    ) -> Iterator[tuple[Folder, Seen]]:
        """A new path with the inode, size and date of one that vanished is the same file, moved."""
        by_identity = {
            (seen.device, seen.inode, seen.size, seen.mtime_ns): path for path, (seen, _) in gone.items()
        }
        for folder, seen in candidates:
            old = by_identity.pop((seen.device, seen.inode, seen.size, seen.mtime_ns), None)
            same_kind = old is not None and kind_of(display_path(old)) == kind_of(display_path(seen.path))
            if old is not None and same_kind and old in gone:
                _, file_id = gone.pop(old)
                self.store.move_file(file_id, folder.id, seen, _relative(folder, seen.path))
                report.renamed += 1
            else:
                yield folder, seen

    # reading and embedding

    def _index(
        self, work: list[tuple[Folder, Seen]], report: Report, progress: Progress, control: Control
    ) -> None:
        progress.stage = "indexing"
        progress.files_total = len(work)
        progress.total = sum(seen.size for _, seen in work)
        progress.started, progress.paused_seconds = time.monotonic(), 0.0
        embedder = self._serving()
        with Committer(self.store, self._keeper, self._writer) as committer:
            for folder, seen in work:
                self._wait_while_paused(progress, control)
                if control.cancelled():
                    break
                progress.current = _relative(folder, seen.path)
                item = self._prepare(folder, seen, report)
                if item is not None:
                    if item.chunks and embedder is not None:
                        item.vectors = self._embed(item, embedder, progress, control)
                        if item.vectors is None:  # stopped in the middle of a file: it is not half indexed
                            break
                    committer.add(item, embedder)
                    report.indexed += 1
                    report.chunks += len(item.chunks)
                progress.files += 1
                progress.done += seen.size
                control.report(progress)

    def _serving(self) -> Embedder | None:
        """The embedder for new files: the one whose vectors serve searches, else the one that is set."""
        active = self._keeper.active()
        current = self._embedders.current()
        if active is None or (current is not None and current.name == active[1]):
            return current
        return self._embedders.named(active[1])

    def _prepare(self, folder: Folder, seen: Seen, report: Report) -> Prepared | None:
        """Read and cut one file; None when it was skipped (and that was noted)."""
        relative = _relative(folder, seen.path)
        kind = kind_of(display_path(os.path.basename(seen.path)))
        try:
            if kind == "binary":
                raise Unreadable("is of a kind that holds no text")
            data, seen = read_file(seen.path, self._limits.max_bytes)
            digest = hashlib.sha256(data).hexdigest()
            content = f"{digest[:40]}.{kind or 'text'}.{READER_VERSION}"
            item = Prepared(folder.id, seen, relative, kind or "text", digest, content)
            if self.store.has_content(content):
                return item
            blocks = self._reader.read(data, kind) if kind in ISOLATED else _read_here(data, kind)
            item.chunks = chunk_blocks(blocks)
            if not item.chunks:
                raise Unreadable("holds no text")
            return item
        except Unreadable as error:
            report.skipped += 1
            self.store.skip(folder.id, seen, relative, kind or "", str(error))
            return None

    def _embed(self, item: Prepared, embedder: Embedder, progress: Progress, control: Control) -> Any:
        """Vectors of a file's chunks, float16 [chunks, width]; None when stopped."""
        import numpy as np

        texts = [passage_text(item.relative, chunk.heading, chunk.text) for chunk in item.chunks]
        parts = []
        for start in range(0, len(texts), BATCH):
            self._wait_while_paused(progress, control)
            if control.cancelled():
                return None
            parts.append(_vectors(embedder, texts[start : start + BATCH]))
            progress.chunks += len(parts[-1])
            control.report(progress)
        return np.concatenate(parts)

    def _wait_while_paused(self, progress: Progress, control: Control) -> None:
        """Pausing is a word in the database, so that any face of any process can say it."""
        if self.store.meta("paused") != "1":
            return
        began, stage = time.monotonic(), progress.stage
        progress.stage = "paused"
        while self.store.meta("paused") == "1" and not control.cancelled():
            control.report(progress)
            time.sleep(0.2)
        progress.stage = stage
        progress.paused_seconds += time.monotonic() - began

    # another embedder

    def _reembed(self, progress: Progress, control: Control) -> None:
        """Give every chunk a vector of the embedder that is set; then, not before, let it serve."""
        current = self._embedders.current()
        if current is None:
            return
        active = self._keeper.active()
        same = active is not None and active[1] == current.name
        if active is None and not self.store.counts()["chunks"]:
            return
        if same and active is not None and not self.store.count_without_vector(active[0]):
            return
        progress.stage, progress.started, progress.paused_seconds = "embedding", time.monotonic(), 0.0
        progress.chunks, progress.files_total = 0, self.store.counts()["chunks"]
        width = int(_vectors(current, ["width"]).shape[1])
        embedder_id = self.store.embedder(current.name, width)
        while rows := self.store.without_vector(embedder_id, BATCH):
            self._wait_while_paused(progress, control)
            if control.cancelled():
                return
            vectors = _vectors(current, [passage_text(title, head, body) for _, _, title, head, body in rows])
            packed = [vector.tobytes() for vector in vectors]
            self._keeper.chroma.upsert(
                current.name, [(row[1], vector) for row, vector in zip(rows, packed, strict=True)]
            )
            self.store.add_vectors(
                embedder_id, [(row[0], vector) for row, vector in zip(rows, packed, strict=True)]
            )
            progress.chunks += len(rows)
            progress.files = progress.chunks
            control.report(progress)
        for old in self.store.activate(embedder_id):
            name = str(self.store.db.execute("SELECT name FROM embedders WHERE id=?", (old,)).fetchone()[0])
            self._keeper.chroma.drop(name)
            self.store.drop_embedder(old)
        self.store.bump(self._writer)


def _vectors(embedder: Embedder, texts: Sequence[str]) -> Any:
    try:
        return to_half(embedder.embed(texts))
    except ValueError as error:
        raise UserError(f"The embedder {embedder.name} cannot be used: {error}; choose another.") from error


def _read_here(data: bytes, kind: str | None) -> list[Block]:
    try:
        return read(data, kind)
    except Unreadable:
        raise
    except (RecursionError, MemoryError, ValueError) as error:
        raise Unreadable(f"cannot be read ({type(error).__name__})") from error


def _relative(folder: Folder, path: bytes) -> str:
    """Path below the folder, for people and for the passage's first line."""
    if path == folder.path:
        return display_path(os.path.basename(path))
    return display_path(os.path.relpath(path, folder.path))


def _below(path: bytes, folders: Sequence[bytes]) -> bool:
    return any(path == folder or path.startswith(folder.rstrip(b"/") + b"/") for folder in folders)


def _staged(progress: Progress, text: str) -> Progress:
    progress.stage, progress.current = "scan", text
    return progress
