"""``ram.db``: every message as a page, with full text, vectors, memories and their versions.

The chats themselves stay in the program's own store; this file can be deleted at any time and
fills again as chats are used (memories excepted: they live here).
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llmos.types import Labels
from llmos_ram.page_words import PageWords, kind_of, upgrade
from llmos_ram.summary_rows import SUMMARY_SCHEMA, SummaryRows
from llmos_ram.summary_rows import labels_from_json as labels_from_json
from llmos_ram.summary_rows import labels_to_json as labels_to_json
from llmos_ram.words import TELLS

_SCHEMA = """
CREATE TABLE IF NOT EXISTS pages (
    row INTEGER PRIMARY KEY,
    message_id TEXT NOT NULL UNIQUE,
    chat_id TEXT NOT NULL,
    role TEXT NOT NULL,
    kind TEXT NOT NULL,
    text TEXT NOT NULL,
    labels TEXT NOT NULL,
    created REAL NOT NULL,
    embedder TEXT NOT NULL DEFAULT '',
    vector BLOB,
    summary_row INTEGER,
    tells INTEGER NOT NULL DEFAULT 2
);
CREATE VIRTUAL TABLE IF NOT EXISTS pages_fts USING fts5(text, chat, tokenize = 'porter unicode61');
CREATE TABLE IF NOT EXISTS memories (
    row INTEGER PRIMARY KEY,
    text TEXT NOT NULL,
    labels TEXT NOT NULL,
    created REAL NOT NULL,
    chat_id TEXT NOT NULL DEFAULT '',
    pinned INTEGER NOT NULL DEFAULT 0,
    superseded_by INTEGER REFERENCES memories(row),
    forgotten REAL
);
CREATE TABLE IF NOT EXISTS turns (
    row INTEGER PRIMARY KEY,
    chat_id TEXT NOT NULL,
    created REAL NOT NULL,
    recalled INTEGER NOT NULL,
    recalled_tokens INTEGER NOT NULL,
    evicted INTEGER NOT NULL,
    searched INTEGER NOT NULL,
    seconds REAL NOT NULL
);
"""

# Two ranges of the index: "!=" would read the whole table after every turn.
_PART = "SELECT row, tells FROM pages INDEXED BY pages_missing WHERE tells > 0 AND embedder"
_MISSING = f"{_PART} < ?1 UNION ALL {_PART} > ?1"


@dataclass(frozen=True, slots=True)
class StoredPage:
    """A message as the pager keeps it; ``row`` grows with time, ``tells`` says what it is."""

    row: int
    message_id: str
    chat_id: str
    role: str
    kind: str
    text: str
    labels: Labels
    created: float
    tells: int = TELLS


@dataclass(frozen=True, slots=True)
class Memory:
    """A fact that the user asked to keep; ``superseded_by`` is the row of its newer version."""

    row: int
    text: str
    labels: Labels
    created: float
    pinned: bool
    superseded_by: int | None


class RamStore(PageWords, SummaryRows):
    """One SQLite connection behind a lock; hooks come from several worker threads.

    Args:
        path: the file; a damaged one is set aside and a new one begun.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.set_aside: Path | None = None
        self._lock = threading.RLock()
        try:
            self._db = self._open()
        except sqlite3.DatabaseError:
            self.set_aside = path.with_suffix(f".damaged-{int(time.time())}")
            path.rename(self.set_aside)
            for tail in ("-wal", "-shm"):
                path.with_name(path.name + tail).unlink(missing_ok=True)
            self._db = self._open()

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, check_same_thread=False, timeout=10.0, isolation_level=None)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute("PRAGMA secure_delete = ON")  # what is forgotten leaves the file too
            if db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("damaged")
            db.executescript(_SCHEMA + SUMMARY_SCHEMA)
            upgrade(db)
        except sqlite3.DatabaseError:
            db.close()
            raise
        return db

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _all(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    def add_pages(self, pages: Sequence[tuple[str, str, str, str, str, Labels, float]]) -> list[int]:
        """Index messages given as (message id, chat id, role, kind, text, labels, created).

        Messages that are known already are left alone.

        Returns:
            rows of those that are new.
        """
        new: list[int] = []
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                for message_id, chat_id, role, kind, text, labels, created in pages:
                    tells = kind_of(role, text)
                    cursor = self._db.execute(
                        "INSERT OR IGNORE INTO"
                        " pages(message_id, chat_id, role, kind, text, labels, created, tells)"
                        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                        (message_id, chat_id, role, kind, text, labels_to_json(labels), created, tells),
                    )
                    if cursor.rowcount:
                        row = int(cursor.lastrowid or 0)
                        self._db.execute(
                            "INSERT INTO pages_fts(rowid, text, chat) VALUES (?, ?, '')", (row, text)
                        )
                        new.append(row)
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
        return new

    def set_vectors(self, rows: Sequence[int], vectors: np.ndarray, embedder: str) -> None:
        """Keep the vectors [rows, width] of pages, as float16."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(
                "UPDATE pages SET vector = ?, embedder = ? WHERE row = ?",
                [
                    (vector.astype(np.float16).tobytes(), embedder, row)
                    for row, vector in zip(rows, vectors, strict=True)
                ],
            )
            self._db.execute("COMMIT")

    def vectors(self, chat_id: str, embedder: str) -> tuple[list[int], np.ndarray, list[int]]:
        """Of a chat's pages: rows, vectors [rows, width] (float16), what they are; empty: all chats."""
        where = "embedder = ? AND vector IS NOT NULL" + (" AND chat_id = ?" if chat_id else "")
        found = self._all(
            f"SELECT row, vector, tells FROM pages WHERE {where} ORDER BY row",
            embedder,
            *([chat_id] if chat_id else []),
        )
        if not found:
            return [], np.zeros((0, 0), dtype=np.float16), []
        matrix = np.frombuffer(b"".join(vector for _, vector, _ in found), dtype=np.float16)
        vectors = matrix.reshape(len(found), -1)
        return [row for row, _, _ in found], vectors, [tells for _, _, tells in found]

    def without_vectors(self, embedder: str, limit: int = 64) -> list[int]:
        """Rows of pages that this embedder has not seen and that can be looked for.

        Those that tell something come first, for it is they that are asked for; newer before older.
        """
        found = self._all(
            f"SELECT row FROM ({_MISSING}) ORDER BY tells DESC, row DESC LIMIT ?2", embedder, limit
        )
        return [row for (row,) in found]

    def misses_vectors(self, embedder: str, count: int) -> bool:
        """Whether so many pages or more have no vector of this embedder."""
        found = self._all(f"SELECT count(*) FROM (SELECT 1 FROM ({_MISSING}) LIMIT ?2)", embedder, count)
        return int(found[0][0]) >= count

    def pages(self, rows: Sequence[int]) -> dict[int, StoredPage]:
        """Pages by row."""
        marks = ",".join("?" * len(rows))
        found = self._all(
            "SELECT row, message_id, chat_id, role, kind, text, labels, created, tells"
            f" FROM pages WHERE row IN ({marks})",
            *rows,
        )
        return {
            row: StoredPage(row, message_id, chat, role, kind, text, labels_from_json(labels), created, tells)
            for row, message_id, chat, role, kind, text, labels, created, tells in found
        }

    def known_messages(self, chat_id: str) -> dict[str, int]:
        """Row of every message of a chat that is indexed."""
        return dict(self._all("SELECT message_id, row FROM pages WHERE chat_id = ?", chat_id))

    def rows_of(self, message_ids: Sequence[str]) -> dict[str, int]:
        """Rows of messages that are indexed, by message id."""
        marks = ",".join("?" * len(message_ids))
        return dict(self._all(f"SELECT message_id, row FROM pages WHERE message_id IN ({marks})", *message_ids))

    def chats(self) -> list[str]:
        """Ids of every chat that has pages here."""
        return [chat for (chat,) in self._all("SELECT DISTINCT chat_id FROM pages")]

    def forget_chat(self, chat_id: str) -> int:
        """Remove every page of a chat, for one that was deleted; returns how many."""
        return self._remove("chat_id = ?", chat_id)

    def forget_message(self, message_id: str) -> int:
        """Remove one page; returns how many."""
        return self._remove("message_id = ?", message_id)

    def _remove(self, where: str, *values: str) -> int:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(
                f"DELETE FROM pages_fts WHERE rowid IN (SELECT row FROM pages WHERE {where})", values
            )
            count = self._db.execute(f"DELETE FROM pages WHERE {where}", values).rowcount
            self._db.execute("COMMIT")
            return int(count)

    # Memories.

    def add_memory(
        self, text: str, labels: Labels, chat_id: str = "", supersedes: Sequence[int] = (), pinned: bool = False
    ) -> int:
        """Keep a fact; the older versions named by ``supersedes`` stay and point to it."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            cursor = self._db.execute(
                "INSERT INTO memories(text, labels, created, chat_id, pinned) VALUES (?, ?, ?, ?, ?)",
                (text, labels_to_json(labels), time.time(), chat_id, int(pinned)),
            )
            row = int(cursor.lastrowid or 0)
            self._db.executemany(
                "UPDATE memories SET superseded_by = ? WHERE row = ?", [(row, old) for old in supersedes]
            )
            self._db.execute("COMMIT")
        return row

    def memories(self, *, history: bool = False) -> list[Memory]:
        """Facts kept, oldest first; with ``history`` the superseded ones too."""
        where = "forgotten IS NULL" + ("" if history else " AND superseded_by IS NULL")
        found = self._all(
            f"SELECT row, text, labels, created, pinned, superseded_by FROM memories WHERE {where} ORDER BY row"
        )
        return [
            Memory(row, text, labels_from_json(labels), created, bool(pinned), by)
            for row, text, labels, created, pinned, by in found
        ]

    def forget_memory(self, row: int) -> bool:
        """Forget a fact and its older versions for good; False when there is no such one."""
        with self._lock:
            rows, frontier = {row}, [row]
            while frontier:
                older = [
                    one
                    for (one,) in self._all("SELECT row FROM memories WHERE superseded_by = ?", frontier.pop())
                ]
                frontier += [one for one in older if one not in rows]
                rows.update(older)
            self._db.execute("BEGIN IMMEDIATE")
            gone = 0
            for one in rows:
                # The text itself goes: a forgotten fact must not be readable in the file.
                gone += self._db.execute(
                    "UPDATE memories SET text = '', forgotten = ? WHERE row = ? AND forgotten IS NULL",
                    (time.time(), one),
                ).rowcount
            self._db.execute("COMMIT")
            return gone > 0

    def pin_memory(self, row: int, pinned: bool) -> bool:
        """Pin or unpin a fact: pinned ones enter every window."""
        with self._lock:
            return bool(
                self._db.execute("UPDATE memories SET pinned = ? WHERE row = ?", (int(pinned), row)).rowcount
            )

    # Figures of turns.

    def add_turn(
        self, chat_id: str, recalled: int, recalled_tokens: int, evicted: int, searched: int, seconds: float
    ) -> None:
        """Keep a turn's paging figures."""
        with self._lock:
            self._db.execute(
                "INSERT INTO turns(chat_id, created, recalled, recalled_tokens, evicted, searched, seconds)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (chat_id, time.time(), recalled, recalled_tokens, evicted, searched, seconds),
            )

    def turn_figures(self, chat_id: str) -> dict[str, float]:
        """Sums over a chat's turns: turns, faults (turns that recalled), pages, tokens, evictions."""
        row = self._all(
            "SELECT count(*), sum(recalled > 0), sum(recalled), sum(recalled_tokens), sum(evicted),"
            " sum(searched), sum(seconds) FROM turns WHERE chat_id = ?",
            chat_id,
        )[0]
        names = ("turns", "faults", "recalled", "recalled_tokens", "evicted", "searched", "seconds")
        return {name: float(value or 0) for name, value in zip(names, row, strict=True)}
