"""The worker process as the client holds it: start, send, route what comes back, notice its death."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from llmos.kernel.frames import BrokenPipe, pack, read_frame_async
from llmos.kernel.library import child_environment
from llmos.kernel.protocol import (
    Chunk,
    Finished,
    GenerateEvent,
    GenerateRequest,
    KernelDied,
    KernelError,
    NotAvailable,
    Prefilled,
    TokenProbability,
)

Answer = tuple[dict[str, Any], bytes]

_KINDS: dict[str, type[KernelError]] = {"KernelError": KernelError, "NotAvailable": NotAvailable}

#: The log is begun anew when it is larger than this (bytes).
_LOG_LIMIT = 1 << 20


def error_of(message: dict[str, Any]) -> KernelError:
    """The exception that an error message stands for."""
    return _KINDS.get(str(message.get("kind")), KernelError)(str(message.get("text", "The kernel failed.")))


def generate_message(number: int, request: GenerateRequest) -> dict[str, Any]:
    """A generation as the message that asks for it; the prompt is the payload."""
    return {
        "op": "generate",
        "id": number,
        "sequence": request.sequence,
        "max_tokens": request.max_tokens,
        "sampling": asdict(request.sampling),
        "stop": list(request.stop),
        "grammar": request.grammar,
        "grammar_trigger": request.grammar_trigger,
        "samples": request.samples,
        "logprobs": request.logprobs,
        "priority": request.priority,
        "keep": request.keep,
        "bias": list(request.bias.items()),
        "stream": request.stream,
    }


def event_of(kind: str, message: dict[str, Any]) -> GenerateEvent:
    """The event that a message of a generation stands for."""
    if kind == "chunk":
        return Chunk(
            text=message["x"],
            tokens=tuple(message["t"]),
            sample=message["s"],
            logprobs=tuple(message.get("p", ())),
            alternatives=tuple(tuple(TokenProbability(*one) for one in row) for row in message.get("a", ())),
        )
    if kind == "prefill":
        return Prefilled(message["done"], message["total"], message["cached"])
    return Finished(**{key: value for key, value in message.items() if key not in ("e", "id")})


def death_words(status: int) -> str:
    """An exit status in words."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"


class WorkerProcess:
    """One worker process.

    Args:
        log: file for its stderr (native log, Python errors); None throws it away.
        died: called once, with the exit status, when it ends without ``close``.
        module: what the process runs.
    """

    def __init__(
        self,
        log: Path | None,
        died: Callable[[int], Awaitable[None]],
        module: str = "llmos.kernel.worker",
    ) -> None:
        self._log = log
        self._module = module
        self._died = died
        self._process: asyncio.subprocess.Process | None = None
        self._numbers = itertools.count(1)
        self._queues: dict[int, asyncio.Queue[Answer | None]] = {}
        self._reader: asyncio.Task[None] | None = None
        self._closing = False
        self.alive = False

    @property
    def pid(self) -> int:
        """Process id, 0 before the start."""
        return self._process.pid if self._process else 0

    async def start(self) -> None:
        """Start the process.

        Raises:
            KernelError: the system does not let a process be started.
        """
        with contextlib.ExitStack() as stack:
            errors: Any = asyncio.subprocess.DEVNULL
            if self._log is not None:
                with contextlib.suppress(OSError):
                    self._log.parent.mkdir(parents=True, exist_ok=True)
                    fresh = not self._log.exists() or self._log.stat().st_size > _LOG_LIMIT
                    errors = stack.enter_context(self._log.open("wb" if fresh else "ab"))
            try:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-P",
                    "-m",
                    self._module,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=errors,
                    env=child_environment(),
                    start_new_session=True,
                )
            except OSError as error:
                raise KernelError(f"The kernel process cannot be started ({error.strerror}).") from error
        self.alive = True
        self._reader = asyncio.create_task(self._read(self._process), name="kernel-reader")

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        try:
            while True:
                message, payload = await read_frame_async(process.stdout)
                queue = self._queues.get(int(message["id"]))
                if queue is not None:
                    queue.put_nowait((message, payload))
        except (BrokenPipe, ValueError, KeyError):
            pass
        self.alive = False
        status = await process.wait()
        for queue in self._queues.values():
            queue.put_nowait(None)
        if not self._closing:
            await self._died(status)

    def open(self) -> tuple[int, asyncio.Queue[Answer | None]]:
        """A number for a request and the queue of its answers; None in the queue means: died."""
        number = next(self._numbers)
        queue: asyncio.Queue[Answer | None] = asyncio.Queue()
        self._queues[number] = queue
        return number, queue

    def forget(self, number: int) -> None:
        """Answers to this number are thrown away from now on."""
        self._queues.pop(number, None)

    async def send(self, message: dict[str, Any], payload: bytes = b"") -> None:
        """Send a request.

        Raises:
            KernelDied: nobody is there to read it.
        """
        if not self.alive or self._process is None or self._process.stdin is None:
            raise KernelDied("The kernel died.")
        try:
            self._process.stdin.write(pack(message, payload))
            await self._process.stdin.drain()
        except (ConnectionError, RuntimeError) as error:
            raise KernelDied("The kernel died.") from error

    def post(self, message: dict[str, Any]) -> None:
        """Send without waiting and without errors (for a stop on the way out)."""
        if self.alive and self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(ConnectionError, RuntimeError):
                self._process.stdin.write(pack(message))

    async def ask(self, message: dict[str, Any], payload: bytes = b"") -> Answer:
        """Send a request and wait for its one answer.

        Raises:
            KernelError: what the worker refused; ``KernelDied`` when it ended.
        """
        number, queue = self.open()
        try:
            await self.send({**message, "id": number}, payload)
            answer = await queue.get()
        finally:
            self.forget(number)
        if answer is None:
            raise KernelDied("The kernel died.")
        if answer[0]["e"] == "error":
            raise error_of(answer[0])
        return answer

    async def close(self) -> None:
        """End the process and wait for it."""
        self._closing = True
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 2.0)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        if self._reader is not None and self._reader is not asyncio.current_task():
            await asyncio.wait({self._reader}, timeout=1.0)
        self.alive = False
