"""A plugin in a process of its own, seen from the program: what kills it kills nothing else.

The process may hog memory, hold its interpreter, exit or crash; the program notices at once or
by the deadline, ends it, and starts another at the next call. What it may ask of the program goes
through a list of names here, and what it sends is checked in ``wire``.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from llmos.plugins import wire
from llmos.plugins.contributions import CommandContext, CommandResult, Element, ToolContext, Turn
from llmos.plugins.discovery import Found
from llmos.plugins.host import Ground, PluginHost
from llmos.plugins.host_calls import ALLOWED, PRIVATE, call_host
from llmos.plugins.jobs import RunningJob
from llmos.plugins.launch import kill_group, launch
from llmos.plugins.manifest import Manifest
from llmos.plugins.session import _ITEMS, WrongType
from llmos.plugins.tools import BadArguments
from llmos.plugins.workers import Exited, TooSlow, WorkerPool
from llmos.types import Page, ToolResult, ToolSpec, UserError

#: Messages of a chat that go over the pipe with a turn.
_MESSAGES = 20


class ProcessDied(Exception):
    """The plugin's process ended in mid-call."""


class ImportFailed(ImportError):
    """The plugin could not be imported over there."""


class PluginError(Exception):
    """What the plugin raised over there, in words."""


class OwnProcess:
    """Implements ``places.Place`` over a pipe."""

    def __init__(
        self,
        found: Found,
        manifest: Manifest,
        host: PluginHost,
        ground: Ground,
        seen: Callable[[str, str], None] | None = None,
    ) -> None:
        """Nothing is started before ``open``; ``seen`` is told what the plugin's code reaches for."""
        self._seen = seen
        self._found = found
        self._manifest = manifest
        self._host = host
        self._ground = ground
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._waiting: dict[int, tuple[asyncio.Future[Any], Callable[[str], None] | None]] = {}
        self._number = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._pool = WorkerPool(f"{manifest.name}-host")
        self._jobs: dict[str, RunningJob] = {}
        self._tail = bytearray()
        self._starting = asyncio.Lock()

    # Place

    async def open(self, deadline: float) -> list[str]:
        """Start the process and import the plugin there."""
        await self._start()
        return list(await self._call("open", deadline=deadline))

    async def hook(self, name: str, arguments: Mapping[str, Any], deadline: float) -> Any:
        """Call a hook."""
        arguments = {key: self._seen_by_it(value) for key, value in arguments.items()}
        answer = await self._call("hook", name, arguments, deadline=deadline)
        wanted = _ITEMS.get(name)
        if wanted is None or answer is None:
            return answer
        if not isinstance(answer, list) or not all(isinstance(one, wanted) for one in answer):
            raise WrongType(f"{name} returned something other than {wanted.__name__}s")
        return answer

    def _seen_by_it(self, value: Any) -> Any:
        """A turn without the chat around it, unless the manifest asks to read; its last messages then."""
        if not isinstance(value, Turn):
            return value
        needs = self._manifest.needs
        if needs.files == "none" and not needs.memory:
            return replace(value, messages=(), window=())
        return replace(value, messages=list(value.messages[-_MESSAGES:]))

    async def specs(self, deadline: float) -> list[ToolSpec]:
        """Its tools."""
        answer = await self._call("specs", deadline=deadline)
        if not isinstance(answer, list) or not all(isinstance(one, ToolSpec) for one in answer):
            raise WrongType("llmos_tools returned something other than tools")
        return answer

    async def tool(
        self, name: str, arguments: Mapping[str, Any], context: ToolContext, deadline: float
    ) -> ToolResult:
        """Run a tool."""
        answer = await self._call(
            "tool",
            name,
            dict(arguments),
            context.chat_id,
            deadline=deadline,
            progress=context.progress,
            cancelled=context.cancelled,
        )
        if not isinstance(answer, ToolResult) or not all(isinstance(page, Page) for page in answer.pages):
            raise WrongType(f"the tool {name} returned no result")
        return answer

    async def command(self, name: str, arguments: Mapping[str, Any], context: CommandContext) -> CommandResult:
        """Run a command."""
        answer = await self._call(
            "command",
            name,
            dict(arguments),
            context.face,
            context.chat_id,
            progress=context.write,
            cancelled=context.cancelled,
        )
        if not isinstance(answer, CommandResult):
            raise WrongType(f"the command {name} returned no result")
        return answer

    async def part(self, method: str, *arguments: Any, deadline: float) -> Any:
        """View a panel, status item or renderer."""
        answer = await self._call(method, *arguments, deadline=deadline)
        if method in ("view_panel", "render"):
            if not isinstance(answer, list) or not all(isinstance(one, Element) for one in answer):
                raise WrongType(f"{method} returned something other than Elements")
        elif method not in ("names", "layers") and answer is not None and not isinstance(answer, str):
            raise WrongType(f"{method} returned something other than text")
        return answer

    async def close(self, deadline: float, forget: bool = False) -> None:
        """Call ``llmos_stop``, then end the process."""
        try:
            if self._process is not None and self._process.returncode is None:
                await self._call("close", deadline=deadline, restart=False)
        finally:
            await self._end()
            self._pool.close()

    # the process

    async def _start(self) -> None:
        """Start the process and send the first frame."""
        declared = self._manifest.needs.network and not self._host.offline
        self._process, reader, self._writer, inside = await launch(self._host.data_dir, network=declared)
        self._send(
            {
                "plugin": self._manifest.name,
                "module": self._found.module,
                "source": self._found.source,
                "path": str(self._found.path or ""),
                "hooks": list(self._manifest.hooks),
                "data_dir": str(self._host.data_dir),
                "memory_mb": self._manifest.memory_mb,
                "no_network": inside,
                "watch": self._seen is not None,
                "sys_path": [path for path in sys.path if path],
            }
        )
        self._keep(self._read(reader, self._process))
        self._keep(self._listen(self._process))

    def _keep(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        """Keep the last of what it prints, for the words of a fault."""
        assert process.stdout is not None
        while part := await process.stdout.read(65536):
            self._tail += part
            del self._tail[:-4000]

    async def _read(self, reader: asyncio.StreamReader, process: asyncio.subprocess.Process) -> None:
        """Frames from the plugin, until it ends."""
        problem = ""
        try:
            while True:
                header = await reader.readexactly(wire.HEADER_SIZE)
                message = wire.unpack(await reader.readexactly(wire.frame_length(header)))
                self._take(message)
        except (asyncio.IncompleteReadError, OSError):
            pass
        except wire.WireError as error:
            problem = f"it sent what is no message ({error})"
        if process.returncode is None:
            if problem:
                kill_group(process)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 1.0)
            if process.returncode is None:
                kill_group(process)
                await process.wait()
        if self._process is process:
            self._process = None
            died = ProcessDied(problem or self._epitaph(process.returncode))
            waiting, self._waiting = self._waiting, {}
            for future, _ in waiting.values():
                if not future.done():
                    future.set_exception(died)
            for job in self._jobs.values():
                job.state, job.text = "failed", "its process ended"
            self._jobs.clear()

    def _epitaph(self, code: int | None) -> str:
        """How the process ended, with its last words."""
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                how = f"its process was killed by {signal.Signals(-code).name}"
                return f"{how}{self._last_words()}"
        return f"its process ended with code {code}{self._last_words()}"

    def _last_words(self) -> str:
        lines = [line.strip() for line in self._tail.decode("utf-8", "replace").splitlines() if line.strip()]
        return f": {lines[-1][:160]}" if lines else ""

    def _take(self, message: dict[str, Any]) -> None:
        kind = message.get("kind")
        number = message.get("id")
        if kind == "done" and number in self._waiting:
            future, _ = self._waiting[number]
            if not future.done():
                if "error" in message:
                    future.set_exception(_raised(str(message.get("type")), str(message["error"])))
                else:
                    future.set_result(message.get("value"))
        elif kind == "progress" and number in self._waiting:
            progress = self._waiting[number][1]
            if progress is not None:
                progress(str(message.get("text", "")))
        elif kind == "host":
            self._keep(self._serve(message))
        elif kind == "seen" and self._seen is not None:
            self._seen(str(message.get("what")), str(message.get("detail")))
        elif kind == "job" and message.get("job") in self._jobs:
            job = self._jobs[message["job"]]
            job.progress(message["done"], message["total"], message["text"])
            if job.cancelled:
                self._send({"kind": "stop_job", "job": job.id})
        elif kind == "job_end" and message.get("job") in self._jobs:
            job = self._jobs.pop(message["job"])
            job.state = "failed" if message["error"] else "stopped" if message["stopped"] else "done"
            job.text = str(message["error"] or job.text)

    async def _serve(self, message: dict[str, Any]) -> None:
        """A call of the plugin to its host, made on a worker thread as in-process plugins do."""
        method = str(message.get("method"))
        answer: dict[str, Any] = {"kind": "answer", "id": message.get("id")}
        try:
            if method == "jobs.adopt":
                job = RunningJob(self._manifest.name, str(message["args"][0])[:80])
                self._jobs[job.id] = job
                self._ground.jobs.adopt(job)
                answer["value"] = job.id
            elif method not in ALLOWED:
                answer["error"] = f"host.{method} is not open to a plugin in its own process."
            elif method in PRIVATE and self._manifest.needs.files == "none":
                answer["error"] = f'host.{method} needs `files = "read"` in the manifest: chats are private.'
            else:
                answer["value"] = await self._pool.call(
                    call_host, self._host, method, list(message["args"]), dict(message["named"])
                )
            data = wire.pack(answer)
        except Exception as error:
            text = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            data = wire.pack({"kind": "answer", "id": message.get("id"), "error": text})
        self._write(data)

    def _send(self, message: Mapping[str, Any]) -> None:
        self._write(wire.pack(message))

    def _write(self, data: bytes) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(data)

    async def _call(
        self,
        method: str,
        *arguments: Any,
        deadline: float | None = None,
        progress: Callable[[str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        restart: bool = True,
    ) -> Any:
        """One call over the pipe; past its deadline the process is ended."""
        if self._process is None and restart and method != "open":
            await self._again()
        loop = asyncio.get_running_loop()
        self._number += 1
        number = self._number
        future: asyncio.Future[Any] = loop.create_future()
        data = wire.pack({"kind": "call", "id": number, "method": method, "args": list(arguments)})
        self._waiting[number] = (future, progress)
        handle = loop.call_later(deadline, _expire, future, deadline) if deadline else None
        watch = loop.create_task(self._watch(number, cancelled)) if cancelled else None
        try:
            if self._process is None:
                raise ProcessDied("its process is not there")
            self._write(data)
            return await future
        except TooSlow:
            await self._end()  # hung, or holding its interpreter: nothing less ends that for sure
            raise
        except asyncio.CancelledError:
            self._send({"kind": "stop", "id": number})
            raise
        finally:
            self._waiting.pop(number, None)
            if handle is not None:
                handle.cancel()
            if watch is not None:
                watch.cancel()

    async def _watch(self, number: int, cancelled: Callable[[], bool]) -> None:
        """Tell the plugin when the user stops the call or its time is up."""
        while not cancelled():
            await asyncio.sleep(0.05)
        self._send({"kind": "stop", "id": number})

    async def _again(self) -> None:
        """Start the process anew after it died."""
        async with self._starting:
            if self._process is None:
                await self._start()
                await self._call("open", deadline=20.0)

    async def _end(self) -> None:
        """End the process and everything that it started."""
        process, self._process = self._process, None
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if process is not None and process.returncode is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 0.2)  # the closed pipe ends a healthy one
            kill_group(process)
            await process.wait()
        died = ProcessDied("its process was ended")
        waiting, self._waiting = self._waiting, {}
        for future, _ in waiting.values():
            if not future.done():
                future.set_exception(died)


def _expire(future: asyncio.Future[Any], deadline: float) -> None:
    if not future.done():
        future.set_exception(TooSlow(f"no answer within {deadline:g} s"))


def _raised(kind: str, text: str) -> Exception:
    kinds: dict[str, type[Exception]] = {
        "arguments": BadArguments,
        "user": UserError,
        "wrong type": WrongType,
        "exit": Exited,
        "import": ImportFailed,
    }
    return kinds.get(kind, PluginError)(text)
