"""The tier for every other machine: Monty, a Python interpreter that has no way out by design.

It is a language within Python's (a part of the standard library, no packages, no native code).
Its worker is a process of its own; files are those of the two folders that are mounted, nothing
else of the operating system is offered to it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from pathlib import Path
from typing import Any

from llmos_code import folders
from llmos_code.limits import Cancelled, Limits, Progress, RunResult, SandboxError, Tier


def missing() -> str:
    """Why Monty cannot be tried here, or empty."""
    from importlib.util import find_spec

    return "" if find_spec("pydantic_monty") else "the package pydantic-monty is not installed"


class MontySession:
    """A Monty interpreter that keeps its variables."""

    def __init__(self, limits: Limits, files: Path) -> None:
        """Start the worker.

        Raises:
            SandboxError: the worker did not start.
        """
        self._limits = limits
        self._lock = threading.Lock()
        self._closed = False
        self._folder = folders.make()
        # The library's objects are used from one thread only.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="code-monty")
        self._pid: int | None = None
        try:
            self._thread.submit(self._open, files).result(timeout=30)
        except Exception as error:
            self.close()
            raise SandboxError(f"Monty did not start ({error})") from error

    def _open(self, files: Path) -> None:
        import pydantic_monty as monty

        self._pool = monty.Monty(min_processes=1, max_processes=1, checkout_timeout=20)
        self._pool.__enter__()
        self._session = self._pool.checkout(
            limits={
                "max_feed_duration_secs": self._limits.seconds,
                "max_memory": self._limits.memory_mb * 1024 * 1024,
                # Sleeps are charged before they begin, so that none can outlast the limit.
                "max_total_sleep_secs": self._limits.seconds,
                "max_suspensions": 100_000,
                "max_recursion_depth": 500,
            },
            os_policy={"sleep": "system", "sleep_system_max": float("inf")},
        )
        self._session.__enter__()
        self._mounts = [
            monty.MountDir(
                host_path=self._folder,
                virtual_path="/work",
                mode="read-write",
                write_bytes_limit=self._limits.disk_mb * 1024 * 1024,
            ),
            monty.MountDir(host_path=files, virtual_path="/work/files", mode="read-only"),
        ]
        self._session.feed_run("None", mount=self._mounts, cwd="/work")
        self._pid = self._session.worker_pid

    @property
    def alive(self) -> bool:
        """False once it was ended."""
        return not self._closed

    def run(
        self, code: str, *, seconds: float, progress: Progress | None = None, cancelled: Cancelled | None = None
    ) -> RunResult:
        """Run code in the session; as ``ProcessSession.run``."""
        with self._lock:
            result = RunResult(tier="monty")
            started = time.monotonic()
            parts: list[str] = []
            size = 0

            def write(stream: str, text: str) -> None:
                nonlocal size
                text = text[: max(0, self._limits.output_chars - size)]
                size += len(text)
                if text:
                    parts.append(text)
                    if progress is not None:
                        progress(text)

            if self._closed:
                result.error, result.lost = "The session had ended.", True
                return result
            future = self._thread.submit(self._feed, code, write)
            reason = self._wait(future, started + seconds, seconds, cancelled)
            if reason:
                self._kill()
                with contextlib.suppress(BaseException):
                    future.result(timeout=5)
                result.error = f"{reason}; the session's variables are lost."
                result.lost = True
                self.close()
            else:
                self._take(future, result)
            result.output = "".join(parts)
            result.seconds = time.monotonic() - started
            return result

    def _feed(self, code: str, write: Callable[[str, str], None]) -> Any:
        return self._session.feed_run(code, print_callback=write, mount=self._mounts)

    @staticmethod
    def _wait(future: Future[Any], deadline: float, seconds: float, cancelled: Cancelled | None) -> str:
        """Wait for the run; a reason to end it, or empty when it is over."""
        while True:
            with contextlib.suppress(NotYet):
                future.exception(timeout=0.05)
                return ""
            if future.done():
                return ""
            if time.monotonic() >= deadline:
                return f"Stopped: it ran longer than {seconds:g} seconds"
            if cancelled is not None and cancelled():
                return "Stopped by the user"

    def _take(self, future: Future[Any], result: RunResult) -> None:
        """The outcome of a run that is over, in the result."""
        import pydantic_monty as monty

        try:
            value = future.result()
        except monty.MontyCrashedError as error:
            result.error = f"The interpreter crashed ({error}); the session's variables are lost."
            result.lost = True
            self.close()
        except (monty.MontyRuntimeError, monty.MontySyntaxError) as error:
            result.error = error.display("traceback")[:20_000]
            if "limit exceeded" in str(error) and "memory" not in str(error):
                # The library warns that the heap is not to be trusted after this.
                result.error += "\nThe session's variables are lost."
                result.lost = True
                self.close()
        except Exception as error:
            result.error = str(error)[:20_000] or type(error).__name__
        else:
            if isinstance(value, bytes) and value.startswith(b"\x89PNG\r\n\x1a\n"):
                result.images.append(value)
            elif value is not None:
                try:
                    result.value = repr(value)[: self._limits.output_chars]
                    if (table := table_of(value)) is not None:
                        result.tables.append(table)
                except (ValueError, RecursionError) as error:  # a number too long, a list too deep
                    result.error = f"{type(error).__name__}: {error}"

    def _kill(self) -> None:
        if self._pid is not None:
            with contextlib.suppress(OSError):
                os.kill(self._pid, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)

    def close(self) -> None:
        """End the worker and remove its folder."""
        if self._closed:
            return
        self._closed = True
        self._thread.submit(self._shut)
        self._thread.shutdown(wait=False)

    def _shut(self) -> None:
        for name in ("_session", "_pool"):
            with contextlib.suppress(Exception):
                getattr(self, name).__exit__(None, None, None)
        folders.remove(self._folder)


def table_of(value: Any) -> dict[str, Any] | None:
    """A table from a list of records or of equally long rows, else None."""
    if not isinstance(value, (list, tuple)) or len(value) < 2:
        return None
    if all(isinstance(row, dict) and row for row in value):
        columns = list(dict.fromkeys(str(key) for row in value for key in row))
        return {"columns": columns, "rows": [[_plain(row.get(c)) for c in columns] for row in value[:200]]}
    widths = {len(row) if isinstance(row, (list, tuple)) else -1 for row in value}
    if len(widths) == 1 and 1 < next(iter(widths)) <= 20:
        columns = [str(number) for number in range(1, next(iter(widths)) + 1)]
        return {"columns": columns, "rows": [[_plain(cell) for cell in row] for row in value[:200]]}
    return None


def _plain(cell: Any) -> Any:
    return cell if isinstance(cell, (int, float, str, bool, type(None))) else str(cell)


def open_session(limits: Limits, files: Path) -> MontySession:
    """Start a session.

    Raises:
        SandboxError: Monty did not start.
    """
    return MontySession(limits, files)


TIER = Tier("monty", "Monty, an interpreter without a way out", missing, open_session)
