"""Copies what can still be read of a damaged store into the new one."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

#: Most messages that are tried one by one.
MOST = 500_000

_TABLES = ("chats", "pages", "page_states", "drafts", "chat_settings", "tags")


def salvage(damaged: Path, connection: sqlite3.Connection) -> tuple[int, int]:
    """Copy every row that SQLite can still read.

    Args:
        damaged: the file that was set aside; it is only read.
        connection: the new store, in autocommit mode.

    Returns:
        (chats, messages) that were copied.
    """
    try:
        source = sqlite3.connect(f"file:{damaged}?mode=ro&immutable=1", uri=True)
    except sqlite3.Error:
        return 0, 0
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("BEGIN IMMEDIATE")
    try:
        for table in _TABLES:
            _copy_scan(source, connection, table)
        _copy_messages(source, connection)
        _mend(connection)
        connection.execute("COMMIT")
    except sqlite3.Error:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
    finally:
        connection.execute("PRAGMA foreign_keys = ON")
        source.close()
    counts = [
        connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ("chats", "messages")
    ]
    return int(counts[0]), int(counts[1])


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]


def _copy_scan(source: sqlite3.Connection, target: sqlite3.Connection, table: str) -> None:
    """Rows of a table in their order, up to the first one that cannot be read."""
    names = _columns(target, table)
    insert = f"INSERT OR IGNORE INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' for _ in names)})"
    with contextlib.suppress(sqlite3.Error):
        for row in source.execute(f"SELECT {', '.join(names)} FROM {table}"):
            with contextlib.suppress(sqlite3.Error):
                target.execute(insert, tuple(row))


def _copy_messages(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """Messages by their number, so that one broken page costs only what lies in it."""
    names = _columns(target, "messages")
    insert = f"INSERT OR IGNORE INTO messages ({', '.join(names)}) VALUES ({', '.join('?' for _ in names)})"
    select = f"SELECT {', '.join(names)} FROM messages WHERE seq = ?"
    last = 0
    for query in ("SELECT seq FROM sqlite_sequence WHERE name = 'messages'", "SELECT max(seq) FROM messages"):
        with contextlib.suppress(sqlite3.Error, TypeError):
            last = max(last, int(source.execute(query).fetchone()[0]))
    for number in range(1, min(last, MOST) + 1):
        with contextlib.suppress(sqlite3.Error):
            row = source.execute(select, (number,)).fetchone()
            if row is not None and isinstance(row[1], str):
                target.execute(insert, tuple(row))


def _mend(connection: sqlite3.Connection) -> None:
    """Make what was copied whole again: chats for messages without one, leaves that exist."""
    connection.execute(
        "INSERT INTO chats (id, title, title_by, created_at, updated_at)"
        " SELECT chat_id, 'Recovered chat', 'auto', min(created_at), max(created_at) FROM messages"
        " WHERE chat_id NOT IN (SELECT id FROM chats) GROUP BY chat_id"
    )
    connection.execute(
        "UPDATE chats SET leaf_id ="
        " (SELECT id FROM messages WHERE chat_id = chats.id ORDER BY seq DESC LIMIT 1)"
        " WHERE leaf_id IS NULL OR leaf_id NOT IN (SELECT id FROM messages)"
    )
    # A lost message in the middle: what followed it now follows the last one before it that is left.
    connection.execute(
        "UPDATE messages SET parent_id = (SELECT id FROM messages o WHERE o.chat_id = messages.chat_id"
        " AND o.seq < messages.seq ORDER BY o.seq DESC LIMIT 1)"
        " WHERE parent_id IS NOT NULL AND parent_id NOT IN (SELECT id FROM messages)"
    )
