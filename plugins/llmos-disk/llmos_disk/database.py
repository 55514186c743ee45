"""The database file: a connection a thread, transactions, small values."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llmos.types import UserError
from llmos_disk.schema import SCHEMA, VERSION


class Database:
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
        self._all: list[tuple[threading.Thread, sqlite3.Connection]] = []
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
                for thread, old in self._all:
                    if not thread.is_alive():  # hooks run on threads that come and go
                        old.close()
                self._all = [pair for pair in self._all if pair[0].is_alive()]
                self._all.append((threading.current_thread(), connection))
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
            for _, connection in self._all:
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
