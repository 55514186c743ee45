"""Approvals that outlive a question: for one chat or for ever, always for one exact call.

Kept in SQLite in the user's data folder. A stored approval also names the untrusted sources that
the user saw when answering, and counts only while no other source is in the window.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from llmos.types import UserError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS approvals (
    id INTEGER PRIMARY KEY,
    call TEXT NOT NULL,
    scope TEXT NOT NULL CHECK (scope IN ('chat', 'always')),
    chat_id TEXT NOT NULL,
    origins TEXT NOT NULL,
    created_at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS approvals_call ON approvals (call);
"""


@dataclass(frozen=True, slots=True)
class StoredApproval:
    """One approval that holds beyond its question.

    Attributes:
        id: number in the store.
        call: canonical JSON of the exact call.
        scope: ``chat`` or ``always``.
        chat_id: the chat, for scope ``chat``.
        origins: untrusted sources that the user saw; empty for a window of trusted text.
        created_at: seconds since the epoch.
    """

    id: int
    call: str
    scope: Literal["chat", "always"]
    chat_id: str
    origins: frozenset[str]
    created_at: float


class ApprovalStore:
    """Stored approvals; safe to use from several threads and processes."""

    def __init__(self, path: Path | None) -> None:
        """Open lazily.

        Args:
            path: the database file; None keeps approvals in memory only.
        """
        self._path = path
        self._memory: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    def add(self, call: str, scope: Literal["chat", "always"], chat_id: str, origins: Iterable[str]) -> None:
        """Keep an approval of one exact call.

        Raises:
            UserError: the store cannot be written.
        """
        row = (call, scope, chat_id if scope == "chat" else "", json.dumps(sorted(origins)), time.time())
        with self._lock:
            try:
                connection = self._open()
                with self._closing(connection), connection:
                    connection.execute(
                        "INSERT INTO approvals (call, scope, chat_id, origins, created_at)"
                        " VALUES (?, ?, ?, ?, ?)",
                        row,
                    )
            except (sqlite3.Error, OSError) as error:
                raise UserError(
                    f"The approval could not be kept in {self._path} ({error}); it held for this once."
                ) from error

    def covers(self, call: str, chat_id: str, origins: frozenset[str]) -> bool:
        """Whether a stored approval holds for this exact call with these untrusted sources in the window."""
        with self._lock:
            if self._memory is None and (self._path is None or not self._path.exists()):
                return False
            connection = self._open()
            with self._closing(connection):
                rows = connection.execute(
                    "SELECT origins FROM approvals WHERE call = ? AND (scope = 'always' OR chat_id = ?)",
                    (call, chat_id),
                ).fetchall()
        return any(origins <= frozenset(json.loads(row[0])) for row in rows)

    def all(self) -> list[StoredApproval]:
        """Every stored approval, newest first."""
        with self._lock:
            connection = self._open()
            with self._closing(connection):
                rows = connection.execute(
                    "SELECT id, call, scope, chat_id, origins, created_at FROM approvals ORDER BY id DESC"
                ).fetchall()
        return [
            StoredApproval(row[0], row[1], row[2], row[3], frozenset(json.loads(row[4])), row[5])
            for row in rows
        ]

    def revoke(self, number: int) -> bool:
        """Take an approval back; False when there is none of that number."""
        with self._lock:
            connection = self._open()
            with self._closing(connection), connection:
                return connection.execute("DELETE FROM approvals WHERE id = ?", (number,)).rowcount > 0

    def _open(self) -> sqlite3.Connection:
        if self._path is None:
            if self._memory is None:
                self._memory = sqlite3.connect(":memory:", check_same_thread=False)
                self._memory.executescript(_SCHEMA)
            return self._memory
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=5.0)
        connection.executescript(_SCHEMA)
        return connection

    def _closing(self, connection: sqlite3.Connection) -> closing[sqlite3.Connection] | _Open:
        return _Open() if connection is self._memory else closing(connection)


class _Open:
    """Leaves a connection open at the end of a ``with``."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *error: object) -> None:
        return None
