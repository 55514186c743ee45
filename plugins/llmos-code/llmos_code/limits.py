"""What a piece of code may use, and what comes back from running it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

Progress = Callable[[str], None]
Cancelled = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a session.

    Attributes:
        seconds: wall-clock time of one run.
        cpu_seconds: processor time of the whole session.
        memory_mb: address space of the interpreter.
        file_mb: size of one file.
        disk_mb: size of the session's folder.
        open_files: open files.
        tasks: threads; no second process can be started at all.
        output_chars: characters of output that are kept.
    """

    seconds: float = 20.0
    cpu_seconds: int = 300
    memory_mb: int = 1024
    file_mb: int = 16
    disk_mb: int = 64
    open_files: int = 128
    tasks: int = 64
    output_chars: int = 200_000

    def rlimits(self) -> dict[str, int]:
        """Names of ``RLIMIT_…`` to values."""
        return {
            "AS": self.memory_mb * 1024 * 1024,
            "CPU": self.cpu_seconds,
            "FSIZE": self.file_mb * 1024 * 1024,
            "NOFILE": self.open_files,
            "NPROC": self.tasks,
            "CORE": 0,
        }


@dataclass(slots=True)
class RunResult:
    """What one run gave.

    Attributes:
        output: what was printed, both streams in the order of arrival.
        value: representation of the last expression's value, or empty.
        error: the exception, or what stopped the run, in words; empty when it went well.
        tables: ``{"columns": [...], "rows": [[...]]}``.
        images: PNG files.
        seconds: wall-clock time.
        lost: the session ended: its variables are gone.
        tier: name of the tier that it ran in.
    """

    output: str = ""
    value: str = ""
    error: str = ""
    tables: list[Mapping[str, Any]] = field(default_factory=list)
    images: list[bytes] = field(default_factory=list)
    seconds: float = 0.0
    lost: bool = False
    tier: str = ""

    @property
    def ok(self) -> bool:
        """True when the code ran to its end."""
        return not self.error


class Session(Protocol):
    """An interpreter in a sandbox; it keeps its variables between runs."""

    @property
    def alive(self) -> bool:
        """False once it has ended; a new one must then be opened."""
        ...

    def run(
        self, code: str, *, seconds: float, progress: Progress | None = None, cancelled: Cancelled | None = None
    ) -> RunResult:
        """Run code; never raises for what the code does."""
        ...

    def close(self) -> None:
        """End it and remove its folder."""
        ...


@dataclass(frozen=True, slots=True)
class Tier:
    """One way of confining code.

    Attributes:
        name: ``bubblewrap``, ``landlock``, ``sandbox-exec`` or ``monty``.
        title: for the user.
        missing: why it cannot be used here, in words; empty when nothing speaks against it
            (the probe then still has to succeed).
        open: ``open(limits, files)`` starts a session; ``files`` is a folder of read-only copies
            that the code sees as ``files`` in its working folder.
    """

    name: str
    title: str
    missing: Callable[[], str]
    open: Callable[[Limits, Path], Session]


class SandboxError(Exception):
    """A session could not be started; the text says why."""


def join(parts: Sequence[str]) -> str:
    """Parts of a sentence with commas between."""
    return "; ".join(part for part in parts if part)
