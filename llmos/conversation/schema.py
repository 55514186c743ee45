"""Tables of the chat store, as migrations that sqlite-utils applies.

sqlite-utils takes a fifth of a second to import, so it is loaded only when there is something to
migrate: ``PRAGMA user_version`` holds the number of migrations applied.
"""

from __future__ import annotations

import sqlite3
from typing import Any

#: One SQL script per version of the schema; append, never change.
VERSIONS: tuple[tuple[str, str], ...] = (
    (
        "chats_messages_pages",
        """
CREATE TABLE chats (
  id TEXT PRIMARY KEY,
  title TEXT NOT NULL DEFAULT '',
  title_by TEXT NOT NULL DEFAULT '',
  created_at REAL NOT NULL,
  updated_at REAL NOT NULL,
  pinned INTEGER NOT NULL DEFAULT 0,
  leaf_id TEXT,
  deleted_at REAL
);
CREATE INDEX chats_order ON chats (deleted_at, pinned DESC, updated_at DESC);
CREATE TABLE messages (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  chat_id TEXT NOT NULL REFERENCES chats(id) ON DELETE CASCADE,
  parent_id TEXT,
  role TEXT NOT NULL,
  content TEXT NOT NULL,
  thinking TEXT NOT NULL DEFAULT '',
  tool_calls TEXT NOT NULL DEFAULT '',
  tool_call_id TEXT NOT NULL DEFAULT '',
  name TEXT NOT NULL DEFAULT '',
  labels TEXT NOT NULL,
  status TEXT NOT NULL,
  created_at REAL NOT NULL,
  stats TEXT NOT NULL DEFAULT ''
);
CREATE INDEX messages_chat ON messages (chat_id, seq);
CREATE INDEX messages_parent ON messages (parent_id);
CREATE TABLE pages (
  id TEXT NOT NULL,
  message_id TEXT NOT NULL REFERENCES messages(id) ON DELETE CASCADE,
  chat_id TEXT NOT NULL,
  position INTEGER NOT NULL,
  kind TEXT NOT NULL,
  role TEXT NOT NULL,
  text TEXT NOT NULL,
  labels TEXT NOT NULL,
  heading TEXT NOT NULL,
  source TEXT NOT NULL,
  location TEXT NOT NULL,
  number INTEGER NOT NULL,
  origin_id TEXT NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (message_id, id)
);
CREATE TABLE page_states (
  chat_id TEXT NOT NULL REFERENCES chats(id) ON DELETE CASCADE,
  page_id TEXT NOT NULL,
  swapped INTEGER NOT NULL DEFAULT 0,
  pinned INTEGER NOT NULL DEFAULT 0,
  last_used REAL NOT NULL DEFAULT 0,
  PRIMARY KEY (chat_id, page_id)
) WITHOUT ROWID;
CREATE TABLE drafts (
  chat_id TEXT PRIMARY KEY,
  text TEXT NOT NULL,
  updated_at REAL NOT NULL
);
CREATE TABLE chat_settings (
  chat_id TEXT NOT NULL REFERENCES chats(id) ON DELETE CASCADE,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (chat_id, key)
) WITHOUT ROWID;
CREATE TABLE tags (
  chat_id TEXT NOT NULL REFERENCES chats(id) ON DELETE CASCADE,
  tag TEXT NOT NULL,
  PRIMARY KEY (chat_id, tag)
) WITHOUT ROWID;
CREATE INDEX tags_tag ON tags (tag);
CREATE VIRTUAL TABLE messages_fts USING fts5(
  content, content='messages', content_rowid='seq', tokenize='porter unicode61 remove_diacritics 2'
);
CREATE TRIGGER messages_insert AFTER INSERT ON messages BEGIN
  INSERT INTO messages_fts(rowid, content) VALUES (new.seq, new.content);
END;
CREATE TRIGGER messages_delete AFTER DELETE ON messages BEGIN
  INSERT INTO messages_fts(messages_fts, rowid, content) VALUES ('delete', old.seq, old.content);
END;
CREATE TRIGGER messages_update AFTER UPDATE OF content ON messages BEGIN
  INSERT INTO messages_fts(messages_fts, rowid, content) VALUES ('delete', old.seq, old.content);
  INSERT INTO messages_fts(rowid, content) VALUES (new.seq, new.content);
END;
""",
    ),
)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a database to the present schema.

    Args:
        connection: in autocommit mode (``isolation_level=None``).

    Raises:
        sqlite3.DatabaseError: the file is no database, or damaged.
        NewerStore: the file was written by a later version of the program.
    """
    present = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if present > len(VERSIONS):
        raise NewerStore(present)
    if present == len(VERSIONS):
        return
    from sqlite_utils import Database, Migrations

    migrations = Migrations("llmos.chats")
    for number, (name, script) in enumerate(VERSIONS, start=1):
        migrations(name=name)(_step(number, script))
    # Two programs may start at once: the lock makes the second one wait and find it done.
    migrations.apply(Database(connection, execute_plugins=False))


class NewerStore(Exception):
    """The store's schema is newer than this program."""


def _step(number: int, script: str) -> Any:
    """A migration function that runs one script, statement by statement, inside the transaction."""

    def step(database: Any) -> None:
        for statement in statements(script):
            database.execute(statement)
        database.execute(f"PRAGMA user_version = {number}")

    return step


def statements(script: str) -> list[str]:
    """Single statements of a script (``executescript`` would commit the open transaction)."""
    found: list[str] = []
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if line.rstrip().endswith(";") and sqlite3.complete_statement(pending):
            found.append(pending.strip())
            pending = ""
    return found
