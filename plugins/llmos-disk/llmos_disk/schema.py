"""Tables of the disk's database. SQLite is the truth; Chroma can be rebuilt from it."""

from __future__ import annotations

VERSION = 1

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS folders (
    id INTEGER PRIMARY KEY,
    path BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    private INTEGER NOT NULL,
    trusted INTEGER NOT NULL,
    added_at REAL NOT NULL,
    scanned_at REAL,
    ignored INTEGER NOT NULL DEFAULT 0
);

-- One row a file. `content` names the text that the file is known to hold; a file without it was
-- skipped, and `reason` says why.
CREATE TABLE IF NOT EXISTS files (
    id INTEGER PRIMARY KEY,
    folder_id INTEGER NOT NULL REFERENCES folders(id) ON DELETE CASCADE,
    path BLOB NOT NULL UNIQUE,
    relative TEXT NOT NULL,
    kind TEXT NOT NULL DEFAULT '',
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    device INTEGER NOT NULL,
    content TEXT,
    reason TEXT NOT NULL DEFAULT '',
    indexed_at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS files_content ON files(content);
CREATE INDEX IF NOT EXISTS files_folder ON files(folder_id);

-- Text by what it is (hash of the bytes and the reader), not by where it lies: a renamed or copied
-- file costs nothing. `done` is 0 until Chroma has it too.
CREATE TABLE IF NOT EXISTS contents (
    id TEXT PRIMARY KEY,
    sha256 TEXT NOT NULL,
    done INTEGER NOT NULL DEFAULT 0,
    created_at REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS chunks (
    id INTEGER PRIMARY KEY,
    content TEXT NOT NULL REFERENCES contents(id) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    title TEXT NOT NULL,
    heading TEXT NOT NULL,
    body TEXT NOT NULL,
    line INTEGER NOT NULL,
    end_line INTEGER NOT NULL,
    page INTEGER NOT NULL,
    part TEXT NOT NULL,
    UNIQUE (content, ordinal)
);

CREATE TABLE IF NOT EXISTS embedders (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    width INTEGER NOT NULL,
    active INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE IF NOT EXISTS vectors (
    embedder_id INTEGER NOT NULL REFERENCES embedders(id) ON DELETE CASCADE,
    chunk_id INTEGER NOT NULL REFERENCES chunks(id) ON DELETE CASCADE,
    vector BLOB NOT NULL,
    PRIMARY KEY (embedder_id, chunk_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS vectors_chunk ON vectors(chunk_id);

-- Ids that Chroma must still forget.
CREATE TABLE IF NOT EXISTS tombstones (key TEXT PRIMARY KEY) WITHOUT ROWID;

CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(
    title, heading, body, content='chunks', content_rowid='id',
    tokenize="porter unicode61 remove_diacritics 2"
);
CREATE TRIGGER IF NOT EXISTS chunks_added AFTER INSERT ON chunks BEGIN
    INSERT INTO words(rowid, title, heading, body) VALUES (new.id, new.title, new.heading, new.body);
END;
CREATE TRIGGER IF NOT EXISTS chunks_removed AFTER DELETE ON chunks BEGIN
    INSERT INTO words(words, rowid, title, heading, body)
    VALUES ('delete', old.id, old.title, old.heading, old.body);
END;
CREATE TRIGGER IF NOT EXISTS chunks_retitled AFTER UPDATE OF title ON chunks BEGIN
    INSERT INTO words(words, rowid, title, heading, body)
    VALUES ('delete', old.id, old.title, old.heading, old.body);
    INSERT INTO words(rowid, title, heading, body) VALUES (new.id, new.title, new.heading, new.body);
END;
"""
