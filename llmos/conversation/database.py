"""The SQLite file under the store: opening, faults, setting a damaged file aside.

Every fault that a person can meet (locked, full, read-only, damaged, written by a later version)
becomes one sentence; none of them ends the program.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llmos.conversation import schema
from llmos.conversation.salvage import salvage
from llmos.types import UserError
from llmos.wording import counted

#: How long a statement waits for another program's lock.
BUSY_SECONDS = 5.0
#: A store that was not closed cleanly is checked whole when opened, up to this size.
CHECK_BYTES = 64 * 1024 * 1024

_DAMAGED = {"SQLITE_CORRUPT", "SQLITE_NOTADB"}


class StoreError(UserError):
    """The store cannot do what was asked; the text says what to do."""


class Damaged(Exception):
    """The database file is damaged; it has to be set aside."""


class Database:
    """One connection, used from any thread under a lock.

    Attributes:
        path: the file, or None for one in memory.
        notices: sentences about what happened while opening (set aside, in memory only).
    """

    def __init__(self, path: Path | None) -> None:
        """Open, migrate and check ``path``; falls back as described in the module's head."""
        self.path = path
        self.notices: list[str] = []
        self._lock = threading.RLock()
        self._depth = 0
        self._closed = False
        self._connection = self._open()

    # -- opening ---------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        """A ready connection: to the file, to a new file, or in memory."""
        if self.path is None:
            return self._connect(None)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with _open_lock(self.path):
                try:
                    return self._connect(self.path)
                except Damaged as error:
                    return self._begin_anew(str(error))
        except (OSError, sqlite3.Error, Damaged, schema.NewerStore) as error:
            return self._in_memory(error)

    def _connect(self, path: Path | None) -> sqlite3.Connection:
        """Connect and make ready.

        Raises:
            Damaged: the file is no database, or damaged.
        """
        unclean = path is not None and _has_wal(path)
        connection = sqlite3.connect(
            str(path) if path else ":memory:",
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            if path is not None:
                connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA secure_delete = OFF")
            if path is not None and unclean and path.stat().st_size <= CHECK_BYTES:
                found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
                if found != "ok":
                    raise Damaged(found)
            schema.migrate(connection)
            if path is not None:  # a write that changes nothing: read-only is found now, not later
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
            connection.execute("SELECT count(*) FROM (SELECT 1 FROM messages LIMIT 1)").fetchone()
        except BaseException as error:
            connection.close()
            if is_damage(error):
                raise Damaged(str(error)) from error
            raise
        connection.row_factory = sqlite3.Row
        return connection

    def _begin_anew(self, why: str) -> sqlite3.Connection:
        """Set the damaged file aside, begin a new one, copy what can be read; and say so."""
        aside = self._set_aside()
        connection = self._connect(self.path)
        chats, messages = salvage(aside, connection)
        found = f"{counted(chats, 'chat', commas=True)} with {counted(messages, 'message', commas=True)}"
        saved = f"; {found} could be read and copied" if chats else ""
        self.notices.append(
            f"The store {self.path} was damaged ({why}): it was set aside as {aside} "
            f"and a new one begun{saved}."
        )
        return connection

    def _set_aside(self) -> Path:
        """Rename the damaged file and its companions; returns the new name."""
        assert self.path is not None
        stamp = time.strftime("%Y%m%d-%H%M%S")
        target = self.path.with_name(f"{self.path.name}.damaged-{stamp}")
        count = 0
        while target.exists():
            count += 1
            target = self.path.with_name(f"{self.path.name}.damaged-{stamp}-{count}")
        for suffix in ("", "-wal", "-shm"):
            source = self.path.with_name(self.path.name + suffix)
            if source.exists():
                os.replace(source, target.with_name(target.name + suffix))
        return target

    def _in_memory(self, error: BaseException) -> sqlite3.Connection:
        """A store in memory when the file cannot be used, filled with what can be read of it."""
        path, self.path = self.path, None
        connection = self._connect(None)
        if path is not None and not isinstance(error, schema.NewerStore):
            with contextlib.suppress(sqlite3.Error, OSError):
                source = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
                try:
                    version = source.execute("PRAGMA user_version").fetchone()[0]
                    if version == len(schema.VERSIONS):
                        source.backup(connection)
                finally:
                    source.close()
        self.notices.append(
            f"The store {path} cannot be used ({reason(error)}); chats are kept in memory only "
            "and are lost when the program ends."
        )
        return connection

    # -- use -------------------------------------------------------------------------------

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """All rows of one statement, committed at once unless within ``transaction``."""
        with self._lock, self._faults():
            return self._connection.execute(sql, values).fetchall()

    def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """One statement for many rows."""
        with self._lock, self._faults():
            self._connection.executemany(sql, rows)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, on disk when it ends; may be nested."""
        with self._lock, self._faults():
            if self._depth:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
            except BaseException:
                self._rollback()
                raise
            else:
                try:
                    self._connection.execute("COMMIT")
                except sqlite3.Error:
                    self._rollback()
                    raise
            finally:
                self._depth -= 1

    def _rollback(self) -> None:
        """Roll back if the statement's own failure has not done so."""
        with contextlib.suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        """Turn SQLite's faults into sentences; replace a damaged file by a new one."""
        try:
            yield
        except sqlite3.Error as error:
            if self._closed:
                raise StoreError("The store is closed, for the program is ending.") from error
            if is_damage(error) and self.path is not None:
                self._replace(str(error))
                raise StoreError(self.notices[-1]) from error
            if isinstance(error, sqlite3.ProgrammingError | sqlite3.IntegrityError):
                raise
            raise StoreError(
                f"The store {self.path or 'in memory'} cannot be written ({reason(error)}); {remedy(error)}."
            ) from error

    def _replace(self, why: str) -> None:
        """Set the open, damaged file aside and go on with a new one."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()
        assert self.path is not None
        try:
            with _open_lock(self.path):
                self._connection = self._begin_anew(why)
        except (OSError, sqlite3.Error, Damaged) as error:
            self._connection = self._in_memory(error)

    def close(self) -> None:
        """Fold the write-ahead log into the file and close."""
        with self._lock:
            with contextlib.suppress(sqlite3.Error):
                if self.path is not None:
                    self._connection.execute("PRAGMA optimize")
            self._connection.close()
            self._closed = True


def is_damage(error: BaseException) -> bool:
    """True when SQLite says that the file itself is broken."""
    if isinstance(error, Damaged):
        return True
    if not isinstance(error, sqlite3.DatabaseError):
        return False
    name = getattr(error, "sqlite_errorname", "") or ""
    return any(name.startswith(one) for one in _DAMAGED)


def reason(error: BaseException) -> str:
    """A few words on what is wrong."""
    if isinstance(error, schema.NewerStore):
        return "a later version of the program wrote it"
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return "another program holds it locked"
    if name.startswith("SQLITE_FULL"):
        return "the disk is full"
    if name.startswith("SQLITE_READONLY"):
        return "it is read-only"
    if name.startswith("SQLITE_CANTOPEN"):
        return "it cannot be opened"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)


def remedy(error: sqlite3.Error) -> str:
    """What the person can do about it."""
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return "close the other program and try again"
    if name.startswith("SQLITE_FULL"):
        return "free some space and try again"
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN")):
        return "make it and its folder writable, or set LLMOS_HOME to a folder that is"
    return "see the log for details"


def _has_wal(path: Path) -> bool:
    """True when a write-ahead log with content lies beside the file: it was not closed cleanly."""
    try:
        return path.with_name(path.name + "-wal").stat().st_size > 0
    except OSError:
        return False


@contextlib.contextmanager
def _open_lock(path: Path) -> Iterator[None]:
    """Let one program at a time migrate the store or set it aside."""
    try:
        import fcntl

        handle = os.open(path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR, 0o600)
    except (ImportError, OSError):  # a read-only folder: nothing will be migrated there either
        yield
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
