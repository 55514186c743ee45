"""One writer: a lock on a file, held by a process; the system lets go of it when the process dies."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import ClassVar

from llmos.types import UserError


class Busy(UserError):
    """Another LLMOS, or another job of this one, is writing the index."""


class WriterLock:
    """``with WriterLock(file):`` — raises ``Busy`` at once instead of waiting."""

    _held: ClassVar[set[str]] = set()
    _guard = threading.Lock()

    def __init__(self, file: Path) -> None:
        self._file = file
        self._descriptor = -1

    def __enter__(self) -> WriterLock:
        """Take the lock.

        Raises:
            Busy: it is taken.
        """
        name = str(self._file)
        with self._guard:
            if name in self._held:
                raise Busy("The index is being written by another job of this LLMOS; it will take this up too.")
            descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(descriptor)
                raise Busy(
                    "The index is being written by another LLMOS; wait until it is done or close it there."
                ) from error
            self._descriptor = descriptor
            self._held.add(name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._guard:
            self._held.discard(str(self._file))
            os.close(self._descriptor)
            self._descriptor = -1
