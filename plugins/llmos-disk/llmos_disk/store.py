"""The disk's database: folders, files, chunks, words and vectors.

Order of a commit: ``begin`` writes text and vectors, then Chroma gets them, then ``finish`` lets
files point at them. A crash between any two leaves either the old state or the new one, and what
was embedded once is never embedded again.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Sequence

from llmos_disk.records import FileRow, Folder, Prepared, Seen
from llmos_disk.store_queries import SearchQueries
from llmos_disk.store_vectors import VectorTables


class Store(VectorTables, SearchQueries):
    """Everything that is kept: folders and files here, vectors and searches in the classes below."""

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
            for item in {item.content: item for item in reversed(batch)}.values():  # copies: once
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
