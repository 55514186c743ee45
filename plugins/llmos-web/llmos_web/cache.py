"""What was found and read, in SQLite: answers repeated questions and serves offline."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from llmos_web.engines import Hit

T = TypeVar("T")

MAX_SEARCHES = 2_000
MAX_DOCUMENTS = 2_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS searches (
    query TEXT PRIMARY KEY, engine TEXT NOT NULL, fetched REAL NOT NULL, hits TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS documents (
    url TEXT PRIMARY KEY, fetched REAL NOT NULL, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS robots (
    site TEXT PRIMARY KEY, fetched REAL NOT NULL, status INTEGER NOT NULL, text TEXT NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Document:
    """A page that was read.

    Attributes:
        url: the address that was asked for.
        final_url: the address after redirects.
        title: may be empty.
        date: of publication, as the page says, or empty.
        text: Markdown.
        fetched: seconds since the epoch.
    """

    url: str
    final_url: str
    title: str
    date: str
    text: str
    fetched: float


@dataclass(frozen=True, slots=True)
class Found:
    """Results of a search: which engine, when."""

    query: str
    engine: str
    hits: tuple[Hit, ...]
    fetched: float


class Cache:
    """A small file of results and pages. A damaged one is set aside and begun anew.

    Args:
        path: the SQLite file; its folder exists.
        now: the clock.
    """

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now = now
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def search(self, query: str, within: float | None = None) -> Found | None:
        """Stored results of a query, no older than ``within`` seconds (None: of any age)."""
        row = self._one("SELECT engine, fetched, hits FROM searches WHERE query = ?", _key(query))
        if row is None or (within is not None and self._now() - row[1] > within):
            return None
        try:
            hits = tuple(Hit(**hit) for hit in json.loads(row[2]))
        except (ValueError, TypeError):
            return None
        return Found(query, row[0], hits, row[1])

    def keep_search(self, found: Found) -> None:
        """Store results."""
        hits = json.dumps([hit.data() for hit in found.hits], ensure_ascii=False)
        self._write(
            "INSERT OR REPLACE INTO searches VALUES (?, ?, ?, ?)",
            (_key(found.query), found.engine, found.fetched, hits),
        )
        self._trim("searches", "query", MAX_SEARCHES)

    def document(self, url: str, within: float | None = None) -> Document | None:
        """A stored page, no older than ``within`` seconds (None: of any age)."""
        row = self._one("SELECT fetched, document FROM documents WHERE url = ?", url)
        if row is None or (within is not None and self._now() - row[0] > within):
            return None
        try:
            return Document(**json.loads(row[1]))
        except (ValueError, TypeError):
            return None

    def keep_document(self, document: Document) -> None:
        """Store a page under the address that was asked for and the one it led to."""
        text = json.dumps(asdict(document), ensure_ascii=False)
        for url in {document.url, document.final_url}:
            self._write("INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", (url, document.fetched, text))
        self._trim("documents", "url", MAX_DOCUMENTS)

    def robots(self, site: str, within: float) -> tuple[int, str] | None:
        """Stored status and text of a site's robots.txt."""
        row = self._one("SELECT fetched, status, text FROM robots WHERE site = ?", site)
        return None if row is None or self._now() - row[0] > within else (int(row[1]), str(row[2]))

    def keep_robots(self, site: str, status: int, text: str) -> None:
        """Store a site's robots.txt."""
        self._write("INSERT OR REPLACE INTO robots VALUES (?, ?, ?, ?)", (site, self._now(), status, text))

    def forget_older(self, days: float) -> None:
        """Remove what is older than so many days."""
        limit = self._now() - days * 86_400
        for table in ("searches", "documents", "robots"):
            self._write(f"DELETE FROM {table} WHERE fetched < ?", (limit,))

    def clear(self) -> None:
        """Remove everything."""
        for table in ("searches", "documents", "robots"):
            self._write(f"DELETE FROM {table}", ())

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _one(self, sql: str, key: str) -> Any:
        return self._guarded(lambda connection: connection.execute(sql, (key,)).fetchone())

    def _write(self, sql: str, values: tuple[Any, ...]) -> None:
        def write(connection: sqlite3.Connection) -> None:
            with connection:
                connection.execute(sql, values)

        self._guarded(write)

    def _trim(self, table: str, key: str, most: int) -> None:
        self._write(
            f"DELETE FROM {table} WHERE {key} NOT IN (SELECT {key} FROM {table} ORDER BY fetched DESC LIMIT ?)",
            (most,),
        )

    def _guarded(self, action: Callable[[sqlite3.Connection], T]) -> T | None:
        """Run on the connection; a cache that cannot be used is as good as an empty one."""
        with self._lock:
            for attempt in range(2):
                try:
                    if self._connection is None:
                        self._connection = self._open()
                    return action(self._connection)
                except sqlite3.OperationalError:
                    return None  # locked, read-only or full
                except sqlite3.DatabaseError:
                    if self._connection is not None:
                        self._connection.close()
                        self._connection = None
                    if attempt or not self._path.exists():
                        return None
                    self._path.replace(self._path.with_suffix(".damaged"))
            return None

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=2.0, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")  # a cache may lose its last entry
            connection.executescript(_SCHEMA)
        except sqlite3.Error:
            connection.close()
            raise
        return connection


def _key(query: str) -> str:
    return " ".join(query.lower().split())
