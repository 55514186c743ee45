"""``host.store``: small durable values of each plugin, in one SQLite file."""

from __future__ import annotations

import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

from llmos.types import UserError

_LARGEST = 1_000_000  # characters of JSON in one value


class StoreFile:
    """The SQLite file that all plugins' stores share; opened at the first use."""

    def __init__(self, path: Path) -> None:
        """``path`` need not exist yet."""
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def run(self, statement: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """One statement, committed when it returns; from any thread.

        Raises:
            UserError: the file cannot be opened or written.
        """
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._open()
                with self._connection:
                    return self._connection.execute(statement, values).fetchall()
            except sqlite3.Error as error:
                raise UserError(
                    f"The plugins' store {self._path} cannot be used ({error}); move the file away."
                ) from error

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=10, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS value (plugin TEXT, key TEXT, json TEXT, PRIMARY KEY (plugin, key))"
        )
        return connection

    def forget(self, plugin: str) -> None:
        """Remove everything that a plugin stored."""
        if self._path.exists():
            self.run("DELETE FROM value WHERE plugin = ?", (plugin,))

    def close(self) -> None:
        """Close the file; a later use opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


class PluginStore:
    """One plugin's part of the store; implements ``host_api.Store``."""

    def __init__(self, file: StoreFile, plugin: str) -> None:
        """See ``StoreFile``."""
        self._file = file
        self._plugin = plugin

    def get(self, key: str, default: Any = None) -> Any:
        """The value, or ``default``."""
        rows = self._file.run("SELECT json FROM value WHERE plugin = ? AND key = ?", (self._plugin, key))
        return json.loads(rows[0][0]) if rows else default

    def set(self, key: str, value: Any) -> None:
        """Store a value; committed when it returns.

        Raises:
            UserError: it has no JSON form, or is larger than a megabyte.
        """
        try:
            text = json.dumps(value, ensure_ascii=False)
        except (TypeError, ValueError) as error:
            raise UserError(f"The value of {key!r} has no JSON form: {error}.") from error
        if len(text) > _LARGEST:
            raise UserError(f"The value of {key!r} is larger than 1 MB; keep it in a file of host.data_dir.")
        self._file.run("INSERT OR REPLACE INTO value VALUES (?, ?, ?)", (self._plugin, key, text))

    def delete(self, key: str) -> None:
        """Forget a key; no error when it is not there."""
        self._file.run("DELETE FROM value WHERE plugin = ? AND key = ?", (self._plugin, key))

    def keys(self, prefix: str = "") -> list[str]:
        """Keys that begin with ``prefix``, sorted."""
        rows = self._file.run(
            "SELECT key FROM value WHERE plugin = ? AND substr(key, 1, ?) = ? ORDER BY key",
            (self._plugin, len(prefix), prefix),
        )
        return [row[0] for row in rows]
