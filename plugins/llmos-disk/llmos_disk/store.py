"""The disk's database: folders, files, chunks, words and vectors.

Order of a commit: ``begin`` writes text and vectors, then Chroma gets them, then ``finish`` lets
files point at them. A crash between any two leaves either the old state or the new one, and what
was embedded once is never embedded again.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llmos.types import UserError
from llmos_disk.records import FileRow, Folder, Passage, Prepared, Seen, display_path
from llmos_disk.schema import SCHEMA, VERSION

_PASSAGE = """
SELECT c.id, c.content, c.ordinal, c.title, c.heading, c.body, c.line, c.end_line, c.page, c.part,
       f.path, f.relative, f.kind, f.mtime_ns, f.folder_id, d.name, d.private, d.trusted
FROM chunks c JOIN files f ON f.content = c.content JOIN folders d ON d.id = f.folder_id
"""


class Store:
    """One database file; safe to use from several threads, each with a connection of its own.

    Args:
        file: the database; created when missing.
        max_pages: most pages of 4 KB that it may grow to; 0 sets no limit.

    Raises:
        UserError: the file is no database, or was written by a newer program.
    """

    def __init__(self, file: Path, *, max_pages: int = 0) -> None:
        """See the class."""
        self.file = file
        self._max_pages = max_pages
        self._local = threading.local()
        self._all: list[sqlite3.Connection] = []
        self._guard = threading.Lock()
        try:
            version = int(self.db.execute("PRAGMA user_version").fetchone()[0])
            if version > VERSION:
                raise UserError(f"The index {file} was written by a newer LLMOS; update the program.")
            if version < VERSION:
                self.db.executescript(SCHEMA)
                self.db.execute(f"PRAGMA user_version={VERSION}")
        except sqlite3.DatabaseError as error:
            raise UserError(
                f"The index {file} cannot be used ({error}); move it away and add your folders again."
            ) from error

    @property
    def db(self) -> sqlite3.Connection:
        """This thread's connection."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self.file, timeout=30.0, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute("PRAGMA cache_size=-16000")
            if self._max_pages:
                connection.execute(f"PRAGMA max_page_count={self._max_pages}")
            self._local.connection = connection
            with self._guard:
                self._all.append(connection)
        return connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, rolled back on any error."""
        db = self.db
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")

    def close(self) -> None:
        """Close every thread's connection."""
        with self._guard:
            for connection in self._all:
                connection.close()
            self._all.clear()
        self._local = threading.local()

    # small values

    def meta(self, key: str, default: str = "") -> str:
        """A small value."""
        row = self.db.execute("SELECT value FROM meta WHERE key=?", (key,)).fetchone()
        return str(row[0]) if row else default

    def set_meta(self, key: str, value: str) -> None:
        """Store a small value."""
        self.db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    # folders

    def folders(self) -> list[Folder]:
        """Every folder, in the order in which they were added."""
        rows = self.db.execute(
            "SELECT id, path, name, private, trusted, added_at, scanned_at, ignored FROM folders ORDER BY id"
        )
        return [
            Folder(int(r[0]), bytes(r[1]), r[2], bool(r[3]), bool(r[4]), r[5], r[6], int(r[7])) for r in rows
        ]

    def add_folder(self, path: bytes, name: str, *, private: bool, trusted: bool) -> Folder:
        """Add a folder, or change the labels of one that is there."""
        with self.writing() as db:
            db.execute(
                "INSERT INTO folders(path, name, private, trusted, added_at) VALUES (?,?,?,?,?) "
                "ON CONFLICT(path) DO UPDATE SET private=excluded.private, trusted=excluded.trusted",
                (path, name, private, trusted, time.time()),
            )
        return next(folder for folder in self.folders() if folder.path == path)

    def remove_folder(self, folder_id: int) -> None:
        """Forget a folder and its files; their text goes at the next ``sweep``."""
        with self.writing() as db:
            db.execute("DELETE FROM folders WHERE id=?", (folder_id,))

    def scanned(self, folder_id: int, ignored: int) -> None:
        """Note that a scan of the folder was finished."""
        self.db.execute(
            "UPDATE folders SET scanned_at=?, ignored=? WHERE id=?", (time.time(), ignored, folder_id)
        )

    # files

    def files(self, folder_id: int | None = None, *, skipped: bool | None = None) -> list[FileRow]:
        """Files of a folder, or all; only those skipped or not skipped where asked."""
        where, values = ["1"], []
        if folder_id is not None:
            where.append("folder_id=?")
            values.append(folder_id)
        if skipped is not None:
            where.append("content IS NULL" if skipped else "content IS NOT NULL")
        rows = self.db.execute(
            "SELECT id, folder_id, path, size, mtime_ns, inode, device, relative, kind, content, reason "
            f"FROM files WHERE {' AND '.join(where)} ORDER BY relative",
            values,
        )
        return [
            FileRow(r[0], r[1], Seen(bytes(r[2]), r[3], r[4], r[5], r[6]), r[7], r[8], r[9] or "", r[10])
            for r in rows
        ]

    def known(self) -> dict[bytes, tuple[Seen, int, int, str]]:
        """(state, file id, folder id, reason if skipped) of every path: what a scan compares with."""
        rows = self.db.execute("SELECT path, size, mtime_ns, inode, device, id, folder_id, reason FROM files")
        return {bytes(r[0]): (Seen(bytes(r[0]), r[1], r[2], r[3], r[4]), r[5], r[6], r[7]) for r in rows}

    def skip(self, folder_id: int, seen: Seen, relative: str, kind: str, reason: str) -> None:
        """Note that a file was left out and why; text that it held before is forgotten."""
        with self.writing() as db:
            self._put_file(db, folder_id, seen, relative, kind, None, reason)

    def move_file(self, file_id: int, folder_id: int, seen: Seen, relative: str) -> None:
        """A renamed file: nothing is read again, only its name changes, in the word index too."""
        with self.writing() as db:
            db.execute(
                "UPDATE files SET folder_id=?, path=?, relative=?, size=?, mtime_ns=?, inode=?, device=? "
                "WHERE id=?",
                (folder_id, seen.path, relative, seen.size, seen.mtime_ns, seen.inode, seen.device, file_id),
            )
            db.execute(
                "UPDATE chunks SET title=? WHERE content=(SELECT content FROM files WHERE id=?)",
                (relative, file_id),
            )

    def touch_file(self, file_id: int, folder_id: int, seen: Seen) -> None:
        """The same bytes under a new date or inode, or in another folder of the list."""
        self.db.execute(
            "UPDATE files SET folder_id=?, size=?, mtime_ns=?, inode=?, device=? WHERE id=?",
            (folder_id, seen.size, seen.mtime_ns, seen.inode, seen.device, file_id),
        )

    def drop_files(self, file_ids: Sequence[int]) -> None:
        """Forget files that are gone."""
        with self.writing() as db:
            db.executemany("DELETE FROM files WHERE id=?", [(number,) for number in file_ids])

    def _put_file(
        self,
        db: sqlite3.Connection,
        folder_id: int,
        seen: Seen,
        relative: str,
        kind: str,
        content: str | None,
        reason: str,
    ) -> None:
        db.execute(
            "INSERT INTO files(folder_id, path, relative, kind, size, mtime_ns, inode, device, content, "
            "reason, indexed_at) VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT(path) DO UPDATE SET "
            "folder_id=excluded.folder_id, relative=excluded.relative, kind=excluded.kind, "
            "size=excluded.size, mtime_ns=excluded.mtime_ns, inode=excluded.inode, device=excluded.device, "
            "content=excluded.content, reason=excluded.reason, indexed_at=excluded.indexed_at",
            (
                *(folder_id, seen.path, relative, kind, seen.size, seen.mtime_ns, seen.inode, seen.device),
                *(content, reason, time.time()),
            ),
        )

    # the two halves of a commit

    def has_content(self, content: str) -> bool:
        """True when this text is in the database, whole (``begin`` writes all of it or nothing)."""
        return self.db.execute("SELECT 1 FROM contents WHERE id=?", (content,)).fetchone() is not None

    def begin(self, batch: Sequence[Prepared], embedder_id: int | None) -> list[tuple[str, bytes]]:
        """First half: text, words and vectors, not yet visible.

        Returns:
            (key, float16 vector) of every chunk that Chroma must get.
        """
        keys: list[tuple[str, bytes]] = []
        with self.writing() as db:
            for item in batch:
                row = db.execute("SELECT done FROM contents WHERE id=?", (item.content,)).fetchone()
                if row is None:
                    self._insert_content(db, item, embedder_id)
                if embedder_id is not None and not (row and row[0]):
                    keys.extend(
                        (f"{item.content}:{ordinal}", bytes(vector))
                        for ordinal, vector in db.execute(
                            "SELECT c.ordinal, v.vector FROM chunks c JOIN vectors v ON v.chunk_id=c.id "
                            "WHERE c.content=? AND v.embedder_id=?",
                            (item.content, embedder_id),
                        )
                    )
                    db.execute("DELETE FROM tombstones WHERE key GLOB ?", (f"{item.content}:*",))
        return keys

    def _insert_content(self, db: sqlite3.Connection, item: Prepared, embedder_id: int | None) -> None:
        import numpy as np

        db.execute(
            "INSERT INTO contents(id, sha256, done, created_at) VALUES (?,?,0,?)",
            (item.content, item.sha256, time.time()),
        )
        vectors = None if item.vectors is None else np.asarray(item.vectors, dtype=np.float16)
        for index, chunk in enumerate(item.chunks):
            cursor = db.execute(
                "INSERT INTO chunks(content, ordinal, title, heading, body, line, end_line, page, part) "
                "VALUES (?,?,?,?,?,?,?,?,?)",
                (
                    *(item.content, chunk.ordinal, item.relative, chunk.heading, chunk.text),
                    *(chunk.line, chunk.end_line, chunk.page, chunk.part),
                ),
            )
            if vectors is not None and embedder_id is not None:
                db.execute(
                    "INSERT INTO vectors VALUES (?,?,?)",
                    (embedder_id, cursor.lastrowid, vectors[index].tobytes()),
                )

    def finish(self, batch: Sequence[Prepared], writer: str) -> None:
        """Second half: the files point at their new text; from here on they count as indexed."""
        with self.writing() as db:
            for item in batch:
                db.execute("UPDATE contents SET done=1 WHERE id=?", (item.content,))
                self._put_file(db, item.folder_id, item.seen, item.relative, item.kind, item.content, "")
            self._bump(db, writer)

    def _bump(self, db: sqlite3.Connection, writer: str) -> None:
        number = int(self.meta("generation", "0:").split(":")[0]) + 1
        db.execute("INSERT OR REPLACE INTO meta VALUES ('generation', ?)", (f"{number}:{writer}",))

    def bump(self, writer: str) -> None:
        """Tell readers in other processes that Chroma changed."""
        with self.writing() as db:
            self._bump(db, writer)

    def tombstones(self) -> list[str]:
        """Keys that Chroma must forget, some thousands at a time."""
        return [str(row[0]) for row in self.db.execute("SELECT key FROM tombstones LIMIT 5000")]

    def sweep(self, *, limit: int = 2_000) -> int:
        """Text that no file holds any more becomes tombstones; returns how many texts did."""
        with self.writing() as db:
            orphans = db.execute(
                "SELECT id FROM contents WHERE id NOT IN (SELECT content FROM files WHERE content IS NOT NULL) "
                "LIMIT ?",
                (limit,),
            ).fetchall()
            for (content,) in orphans:
                db.execute(
                    "INSERT OR IGNORE INTO tombstones SELECT content || ':' || ordinal FROM chunks "
                    "WHERE content=?",
                    (content,),
                )
                db.execute("DELETE FROM chunks WHERE content=?", (content,))
                db.execute("DELETE FROM contents WHERE id=?", (content,))
        return len(orphans)

    def forgotten(self, keys: Iterable[str]) -> None:
        """Chroma has forgotten these."""
        with self.writing() as db:
            db.executemany("DELETE FROM tombstones WHERE key=?", [(key,) for key in keys])

    # embedders and vectors

    def embedder(self, name: str, width: int) -> int:
        """Row of an embedder, created when new; the very first becomes the active one."""
        with self.writing() as db:
            row = db.execute("SELECT id FROM embedders WHERE name=?", (name,)).fetchone()
            if row:
                return int(row[0])
            first = db.execute("SELECT COUNT(*) FROM embedders WHERE active=1").fetchone()[0] == 0
            cursor = db.execute(
                "INSERT INTO embedders(name, width, active) VALUES (?,?,?)", (name, width, first)
            )
            return int(cursor.lastrowid or 0)

    def active_embedder(self) -> tuple[int, str, int] | None:
        """(row, name, width) of the embedder whose vectors serve searches."""
        row = self.db.execute("SELECT id, name, width FROM embedders WHERE active=1").fetchone()
        return (int(row[0]), str(row[1]), int(row[2])) if row else None

    def activate(self, embedder_id: int) -> list[int]:
        """Let an embedder serve; returns the rows of those that no longer do."""
        with self.writing() as db:
            others = [r[0] for r in db.execute("SELECT id FROM embedders WHERE id<>?", (embedder_id,))]
            db.execute("UPDATE embedders SET active = (id = ?)", (embedder_id,))
        return others

    def drop_embedder(self, embedder_id: int) -> None:
        """Forget an embedder and its vectors."""
        with self.writing() as db:
            db.execute("DELETE FROM vectors WHERE embedder_id=?", (embedder_id,))
            db.execute("DELETE FROM embedders WHERE id=?", (embedder_id,))

    def without_vector(self, embedder_id: int, limit: int) -> list[tuple[int, str, str, str, str]]:
        """(chunk, key, title, heading, body) of chunks that this embedder has not seen."""
        return [
            (int(r[0]), f"{r[1]}:{r[2]}", r[3], r[4], r[5])
            for r in self.db.execute(
                "SELECT id, content, ordinal, title, heading, body FROM chunks c WHERE NOT EXISTS "
                "(SELECT 1 FROM vectors v WHERE v.chunk_id=c.id AND v.embedder_id=?) ORDER BY id LIMIT ?",
                (embedder_id, limit),
            )
        ]

    def count_without_vector(self, embedder_id: int) -> int:
        """How many chunks this embedder has not seen."""
        return int(
            self.db.execute(
                "SELECT (SELECT COUNT(*) FROM chunks) - (SELECT COUNT(*) FROM vectors WHERE embedder_id=?)",
                (embedder_id,),
            ).fetchone()[0]
        )

    def add_vectors(self, embedder_id: int, vectors: Iterable[tuple[int, bytes]]) -> None:
        """Store float16 vectors of chunks."""
        with self.writing() as db:
            db.executemany(
                "INSERT OR REPLACE INTO vectors VALUES (?,?,?)",
                [(embedder_id, chunk, vector) for chunk, vector in vectors],
            )

    def vector_pages(self, embedder_id: int, size: int = 1_000) -> Iterator[list[tuple[str, bytes]]]:
        """(key, vector) of all chunks, in pages, for rebuilding Chroma."""
        last = -1
        while True:
            rows = self.db.execute(
                "SELECT v.chunk_id, c.content, c.ordinal, v.vector FROM vectors v JOIN chunks c "
                "ON c.id=v.chunk_id WHERE v.embedder_id=? AND v.chunk_id>? ORDER BY v.chunk_id LIMIT ?",
                (embedder_id, last, size),
            ).fetchall()
            if not rows:
                return
            last = int(rows[-1][0])
            yield [(f"{r[1]}:{r[2]}", bytes(r[3])) for r in rows]

    def vectors_of(self, embedder_id: int, chunk_ids: Sequence[int]) -> dict[int, bytes]:
        """Vectors of some chunks."""
        marks = ",".join("?" * len(chunk_ids))
        rows = self.db.execute(
            f"SELECT chunk_id, vector FROM vectors WHERE embedder_id=? AND chunk_id IN ({marks})",
            (embedder_id, *chunk_ids),
        )
        return {int(row[0]): bytes(row[1]) for row in rows}

    def sample_vectors(self, embedder_id: int, count: int) -> list[tuple[str, bytes]]:
        """Some (key, vector) of finished text, spread over the index, for the health probe."""
        found: dict[str, bytes] = {}
        highest = int(self.db.execute("SELECT COALESCE(MAX(id), 0) FROM chunks").fetchone()[0])
        for step in range(count):
            row = self.db.execute(
                "SELECT c.content, c.ordinal, v.vector FROM vectors v JOIN chunks c ON c.id=v.chunk_id "
                "JOIN contents t ON t.id=c.content WHERE v.embedder_id=? AND t.done=1 AND v.chunk_id>=? "
                "ORDER BY v.chunk_id LIMIT 1",
                (embedder_id, highest * step // count),
            ).fetchone()
            if row:
                found[f"{row[0]}:{row[1]}"] = bytes(row[2])
        return list(found.items())

    # reading for search

    def word_hits(
        self,
        expression: str,
        limit: int,
        weights: tuple[float, float, float],
        scope: str,
        values: Sequence[Any],
    ) -> list[tuple[int, float]]:
        """(chunk, score) by BM25, best first; a higher score is better.

        Args:
            expression: FTS5 query.
            scope: SQL condition on ``f`` (files) and ``d`` (folders), or empty.
            values: its values.
        """
        within = ""
        if scope:
            within = (
                "AND rowid IN (SELECT c.id FROM chunks c JOIN files f ON f.content=c.content "
                f"JOIN folders d ON d.id=f.folder_id WHERE {scope})"
            )
        rows = self.db.execute(
            f"SELECT rowid, bm25(words, ?, ?, ?) AS score FROM words WHERE words MATCH ? {within} "
            "ORDER BY score LIMIT ?",
            (*weights, expression, *values, limit),
        )
        return [(int(row[0]), -float(row[1])) for row in rows]

    def scope_size(self, scope: str, values: Sequence[Any]) -> int:
        """Number of chunks within a filter."""
        row = self.db.execute(
            "SELECT COUNT(DISTINCT c.id) FROM chunks c JOIN files f ON f.content=c.content "
            f"JOIN folders d ON d.id=f.folder_id WHERE {scope}",
            tuple(values),
        ).fetchone()
        return int(row[0])

    def scope_vectors(self, embedder_id: int, scope: str, values: Sequence[Any]) -> list[tuple[int, bytes]]:
        """(chunk, vector) of everything within a filter."""
        rows = self.db.execute(
            "SELECT v.chunk_id, v.vector FROM vectors v WHERE v.embedder_id=? AND v.chunk_id IN "
            "(SELECT c.id FROM chunks c JOIN files f ON f.content=c.content "
            f"JOIN folders d ON d.id=f.folder_id WHERE {scope or '1'})",
            (embedder_id, *values),
        )
        return [(int(row[0]), bytes(row[1])) for row in rows]

    def chunk_ids(self, keys: Sequence[str]) -> dict[str, int]:
        """Rows of chunks by their Chroma ids; ids that are not known any more are left out."""
        found: dict[str, int] = {}
        for key in keys:
            content, _, ordinal = key.rpartition(":")
            row = self.db.execute(
                "SELECT id FROM chunks WHERE content=? AND ordinal=?", (content, ordinal)
            ).fetchone()
            if row:
                found[key] = int(row[0])
        return found

    def passages(
        self, chunk_ids: Sequence[int], scope: str = "", values: Sequence[Any] = ()
    ) -> dict[int, Passage]:
        """Chunks with their files; those that no file holds (any more, or within the filter) are left out."""
        if not chunk_ids:
            return {}
        marks = ",".join("?" * len(chunk_ids))
        condition = f" AND ({scope})" if scope else ""
        rows = self.db.execute(
            f"{_PASSAGE} WHERE c.id IN ({marks}){condition} ORDER BY c.id, f.id", (*chunk_ids, *values)
        )
        return _as_passages(rows)

    def passages_of_file(self, path: bytes) -> list[Passage]:
        """Every chunk of one file, in order."""
        rows = self.db.execute(f"{_PASSAGE} WHERE f.path=? ORDER BY c.ordinal", (path,))
        return list(_as_passages(rows).values())

    def counts(self) -> dict[str, int]:
        """Sizes of the tables, for status lines."""
        names = {
            "folders": "SELECT COUNT(*) FROM folders",
            "files": "SELECT COUNT(*) FROM files WHERE content IS NOT NULL",
            "skipped": "SELECT COUNT(*) FROM files WHERE content IS NULL",
            "chunks": "SELECT COUNT(*) FROM chunks",
            "contents": "SELECT COUNT(*) FROM contents",
        }
        return {name: int(self.db.execute(query).fetchone()[0]) for name, query in names.items()}


def _as_passages(rows: Iterable[Sequence[Any]]) -> dict[int, Passage]:
    found: dict[int, Passage] = {}
    for r in rows:
        number = int(r[0])
        if number in found:
            import dataclasses

            before = found[number]
            found[number] = dataclasses.replace(before, others=(*before.others, display_path(bytes(r[10]))))
            continue
        found[number] = Passage(
            *(number, f"{r[1]}:{r[2]}", r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9]),
            *(bytes(r[10]), r[11], r[12], r[13], r[14], r[15], bool(r[16]), bool(r[17])),
        )
    return found
