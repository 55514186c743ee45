"""A session in a process of its own: starts it, speaks its frames, keeps its limits, ends it.

Everything that comes from the process is hostile: frames are bounded, of known kinds, and a
process that breaks the form is ended.
"""

from __future__ import annotations

import contextlib
import json
import marshal
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

import psutil

from llmos_code.folders import over_limit
from llmos_code.limits import Cancelled, Limits, Progress, RunResult, SandboxError

MAX_FRAME = 8 * 1024 * 1024
MAX_TOTAL = 32 * 1024 * 1024
START_SECONDS = 20.0
GRACE_SECONDS = 0.5
_WATCH_SECONDS = 0.25
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class Launch:
    """How a tier starts the guest.

    Attributes:
        command: program and arguments.
        config: the guest's configuration frame; ``bpf`` may be a function of the process id.
        environment: of the process.
        folder: the session's folder on this machine, or None when the sandbox has its own.
        pass_fds: descriptors that the command needs.
        opened: called with the process once it is started (closes descriptors).
        guest_pid: the interpreter's process id on this machine, or None when it is the process.
    """

    command: Sequence[str]
    config: Mapping[str, Any]
    environment: Mapping[str, str]
    bpf: Callable[[int], bytes] | None = None
    folder: Path | None = None
    pass_fds: tuple[int, ...] = ()
    opened: Callable[[], None] = lambda: None
    guest_pid: Callable[[], int | None] = lambda: None
    watch_memory_mb: int = 0


@cache
def guest_file() -> Path:
    """The guest, compiled once for this interpreter; removed when the program ends."""
    import atexit
    import py_compile

    folder = Path(tempfile.mkdtemp(prefix="llmos-guest-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    target = folder / "guest.pyc"
    py_compile.compile(
        str(Path(__file__).with_name("guest.py")),
        cfile=str(target),
        dfile="guest.py",
        doraise=True,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    return target


@cache
def _spawner() -> ThreadPoolExecutor:
    """One lasting thread that starts every process.

    The sandboxes die with their parent, and to Linux the parent is the thread that started them:
    a worker thread's end would end the session.
    """
    return ThreadPoolExecutor(1, thread_name_prefix="code-spawner")


def _spawn(launch: Launch) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        launch.command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(launch.environment),
        pass_fds=launch.pass_fds,
        start_new_session=True,
        cwd="/",
    )


class ProcessSession:
    """A guest interpreter behind pipes."""

    def __init__(self, tier: str, launch: Launch, limits: Limits, cleanup: Callable[[], None]) -> None:
        """Start it and wait until it has confined itself.

        Raises:
            SandboxError: it did not come up; the text holds what it said.
        """
        self._tier = tier
        self._launch = launch
        self._limits = limits
        self._cleanup = cleanup
        self._lock = threading.Lock()
        self._runs = 0
        self._closed = False
        self._broken = False
        # Bounded: a process that floods us blocks on its own pipe.
        self._frames: queue.Queue[tuple[bytes, bytes]] = queue.Queue(maxsize=64)
        try:
            self._process = _spawner().submit(_spawn, launch).result()
        except OSError as error:
            cleanup()
            raise SandboxError(f"{launch.command[0]} cannot be started ({error.strerror})") from error
        finally:
            launch.opened()
        assert self._process.stdout is not None and self._process.stderr is not None
        for target, stream in (
            (self._read_frames, self._process.stdout),
            (self._read_raw, self._process.stderr),
        ):
            threading.Thread(target=target, args=(stream,), daemon=True, name="code-reader").start()
        self._start()

    def _start(self) -> None:
        bpf = self._launch.bpf(self._process.pid) if self._launch.bpf else b""
        said = ""
        try:
            self._send(b"c", {**self._launch.config, "bpf": bpf})
            deadline = time.monotonic() + START_SECONDS
            while True:
                kind, payload = self._frames.get(timeout=max(0.01, deadline - time.monotonic()))
                if kind == b"k":
                    self._launch.guest_pid()  # read before any code could write there
                    return
                if kind == b"":
                    break
                said += payload.decode("utf-8", "replace")
        except (OSError, ValueError, queue.Empty):
            pass
        time.sleep(0.05)
        while not self._frames.empty():
            said += self._frames.get_nowait()[1].decode("utf-8", "replace")
        self.close()
        lines = [line for line in said.strip().splitlines() if line.strip()]
        raise SandboxError(lines[-1].strip() if lines else "it ended without a word")

    @property
    def alive(self) -> bool:
        """False once the process has ended."""
        return not self._closed and self._process.poll() is None

    def run(
        self, code: str, *, seconds: float, progress: Progress | None = None, cancelled: Cancelled | None = None
    ) -> RunResult:
        """Run code in the session.

        Args:
            code: Python source.
            seconds: wall-clock limit of this run.
            progress: called with output as it comes.
            cancelled: looked at several times a second.
        """
        with self._lock:
            started = time.monotonic()
            result = RunResult(tier=self._tier)
            self._runs += 1
            self._drain()
            try:
                self._send(b"r", (code, f"<code {self._runs}>"))
            except (OSError, ValueError):  # the pipe is broken or closed
                self._end(result, "The session had ended")
            else:
                try:
                    self._collect(result, started + seconds, seconds, progress, cancelled)
                except BaseException:
                    # Nobody waits for the run any more: what it still sends must not reach a later one.
                    self.close()
                    raise
            result.seconds = time.monotonic() - started
            return result

    def _collect(
        self,
        result: RunResult,
        deadline: float,
        seconds: float,
        progress: Progress | None,
        cancelled: Cancelled | None,
    ) -> None:
        """Take frames until the run is done or must be ended."""
        reason, kill_at, total, next_watch = "", 0.0, 0, 0.0
        parts: list[str] = []
        size = 0
        while True:
            now = time.monotonic()
            if not reason:
                if now >= deadline:
                    reason = f"Stopped: it ran longer than {seconds:g} seconds."
                elif cancelled is not None and cancelled():
                    reason = "Stopped by the user."
                elif now >= next_watch:
                    next_watch = now + _WATCH_SECONDS
                    over = self._over_limit()
                    if over:
                        result.output = "".join(parts)
                        self._end(result, over)
                        return
                if reason:
                    kill_at = now + GRACE_SECONDS
                    self._interrupt()
            elif now >= kill_at:
                result.output = "".join(parts)
                self._end(result, reason)
                return
            try:
                kind, payload = self._frames.get(timeout=0.05)
            except queue.Empty:
                continue
            total += len(payload)
            if kind in (b"o", b"e", b"s") and size < self._limits.output_chars:
                text = payload.decode("utf-8", "replace")[: self._limits.output_chars - size]
                size += len(text)
                parts.append(text)
                if progress is not None:
                    progress(text)
            elif kind == b"v":
                result.value = payload.decode("utf-8", "replace")[: self._limits.output_chars]
            elif kind == b"x":
                result.error = payload.decode("utf-8", "replace")[:20_000]
            elif kind == b"i" and payload.startswith(_PNG) and len(result.images) < 4:
                result.images.append(payload)
            elif kind == b"t" and len(result.tables) < 4:
                table = _table(payload)
                if table:
                    result.tables.append(table)
            elif kind == b"d":
                result.output = "".join(parts)
                if reason:
                    result.error = reason
                return
            elif kind == b"":
                # Let the raw stream's last words arrive before the verdict.
                time.sleep(0.02)
                parts += [text.decode("utf-8", "replace") for k, text in self._drain() if k == b"s"]
                result.output = "".join(parts)[: self._limits.output_chars]
                self._end(result, reason or self._why_ended())
                return
            if total > MAX_TOTAL:
                result.output = "".join(parts)
                self._end(result, f"Stopped: it sent more than {MAX_TOTAL >> 20} MB.")
                return

    def _over_limit(self) -> str:
        """What the kernel does not limit in this tier: the folder's size, on macOS the memory."""
        folder = self._launch.folder
        if folder is not None:
            problem = over_limit(folder, self._launch.guest_pid() or self._process.pid, self._limits.disk_mb)
            if problem:
                return problem
        if self._launch.watch_memory_mb:
            with contextlib.suppress(psutil.Error):
                used = psutil.Process(self._process.pid).memory_info().rss >> 20
                if used > self._launch.watch_memory_mb:
                    return f"Stopped: it used more than {self._launch.watch_memory_mb} MB of memory."
        return ""

    def _interrupt(self) -> None:
        """Ask the code to stop: KeyboardInterrupt, so that the session keeps its variables."""
        if self._process.poll() is not None:
            return
        pid = self._launch.guest_pid() or self._process.pid
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGINT)

    def _why_ended(self) -> str:
        if self._broken:
            return "Stopped: it wrote into the sandbox's own messages."
        try:
            code = self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            return "The session does not answer any more."
        number = -code if code < 0 else code - 128 if code > 128 else 0
        if number == signal.SIGXCPU or (number == signal.SIGKILL and sys.platform != "linux"):
            return f"Stopped: the session used {self._limits.cpu_seconds} seconds of processor time."
        if number == signal.SIGKILL:
            return "Stopped by the system: too much processor time or memory."
        if number:
            with contextlib.suppress(ValueError):
                return f"The interpreter crashed ({signal.Signals(number).name})."
        return f"The code ended the interpreter (exit code {code})."

    def _end(self, result: RunResult, reason: str) -> None:
        result.error = reason.rstrip(".") + "; the session's variables are lost."
        result.lost = True
        self.close()

    def close(self) -> None:
        """End the process and remove its folder."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError):
            self._process.kill()
        # The readers must get room, or they would wait for ever on a full queue.
        self._drain()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._cleanup()

    def _send(self, kind: bytes, message: Any) -> None:
        payload = marshal.dumps(message)
        assert self._process.stdin is not None
        self._process.stdin.write(kind + len(payload).to_bytes(4, "big") + payload)
        self._process.stdin.flush()

    def _put(self, kind: bytes, payload: bytes) -> bool:
        """Queue a frame; False once the session is closed and nobody will take it."""
        while not self._closed:
            try:
                self._frames.put((kind, payload), timeout=0.2)
            except queue.Full:
                continue
            return True
        return False

    def _drain(self) -> list[tuple[bytes, bytes]]:
        """Take what is left of earlier runs (threads of the code that went on)."""
        frames = []
        while True:
            try:
                frames.append(self._frames.get_nowait())
            except queue.Empty:
                return frames

    def _read_frames(self, stream: IO[bytes]) -> None:
        """Reader thread: frames; anything that is none ends the session."""
        with contextlib.suppress(OSError, ValueError):
            while True:
                head = stream.read(5)
                size = int.from_bytes(head[1:], "big")
                if len(head) < 5:
                    break
                if size > MAX_FRAME or head[:1] not in b"koevtixd":
                    self._broken = True
                    break
                payload = stream.read(size)
                if len(payload) < size or not self._put(head[:1], payload):
                    break
        with contextlib.suppress(OSError):
            self._process.kill()
        self._put(b"", b"")
        with contextlib.suppress(OSError):
            stream.close()

    def _read_raw(self, stream: IO[bytes]) -> None:
        """Reader thread: what native code prints, and the last words of a crash."""
        with contextlib.suppress(OSError, ValueError):
            while True:
                chunk = os.read(stream.fileno(), 65536)
                if not chunk or not self._put(b"s", chunk):
                    break
        with contextlib.suppress(OSError):
            stream.close()


def _table(payload: bytes) -> dict[str, Any] | None:
    """A table that really has the shape of one, else None."""
    try:
        value = json.loads(payload)
        columns = [str(column) for column in value["columns"]][:50]
        rows = [list(row)[:50] for row in value["rows"]][:500]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    plain = (str, int, float, bool, type(None))
    if not all(isinstance(cell, plain) for row in rows for cell in row):
        return None
    return {"columns": columns, "rows": rows}
