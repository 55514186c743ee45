"""The other end of the pipe: one plugin in a process of its own.

``python -m llmos.plugins.process_runner DESCRIPTOR``. The first frame says which plugin, which
limits and which folders; limits are set before anything of the plugin is imported.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmos.plugins import wire
from llmos.plugins.contributions import CommandContext, ToolContext, Turn
from llmos.plugins.remote_host import Pipe, RemoteHost
from llmos.plugins.session import PluginSession, WrongType
from llmos.types import UserError


class Runner:
    """Serves the program's calls until the pipe ends."""

    def __init__(self, pipe: Pipe, first: dict[str, Any]) -> None:
        """``first`` is the opening frame."""
        self._pipe = pipe
        self._first = first
        self.host = RemoteHost(pipe, first["plugin"], Path(first["data_dir"]))
        self._session = PluginSession(first["plugin"], self.host, first["hooks"])
        self._stopped: dict[int, threading.Event] = {}
        self._idle: list[_Thread] = []

    def serve(self) -> None:
        """Read frames; each call runs on a thread of its own, idle ones are used again."""
        while (message := self._pipe.read()) is not None:
            kind = message.get("kind")
            if kind == "call":
                self._stopped[message["id"]] = threading.Event()
                thread = self._idle.pop() if self._idle else _Thread(self)
                thread.give(message)
            elif kind == "answer":
                self._pipe.answered(message)
            elif kind == "stop" and message["id"] in self._stopped:
                self._stopped[message["id"]].set()
            elif kind == "stop_job" and message["job"] in self.host.running:
                self.host.running[message["job"]].stop()

    def run(self, message: dict[str, Any], thread: _Thread) -> None:
        """One call, its answer or its error."""
        number = message["id"]
        answer: dict[str, Any] = {"kind": "done", "id": number}
        try:
            answer["value"] = self._call(message["method"], list(message["args"]), number)
            data = wire.pack(answer)
        except BaseException as error:
            answer.pop("value", None)
            answer.update(_error(error))
            data = wire.pack(answer)
        self._stopped.pop(number, None)
        self._idle.append(thread)
        self._pipe.write(data)

    def _call(self, method: str, arguments: list[Any], number: int) -> Any:
        session = self._session
        if method == "open":
            first = self._first
            return session.open(
                first["module"], first["source"], Path(first["path"]) if first["path"] else None
            )
        if method == "hook":
            name, named = arguments
            if "turn" in named and not isinstance(named["turn"], Turn):
                raise WrongType("not a turn")
            return session.call(name, **named)
        if method == "specs":
            return [bound.spec for bound in session.tools(refresh=True).values()]
        stop = self._stopped[number]

        def tell(text: str) -> None:
            self._pipe.send({"kind": "progress", "id": number, "text": str(text)})

        if method == "tool":
            name, values, chat = arguments
            return session.run_tool(name, values, ToolContext(chat, tell, stop.is_set))
        if method == "command":
            name, values, face, chat = arguments
            return session.run_command(name, values, CommandContext(face, chat, tell, stop.is_set))
        if method in ("accepts", "view_panel", "act_panel", "view_status", "render"):
            return getattr(session, method)(*arguments)
        if method == "names":
            hook, key = arguments
            return sorted(session.parts(hook, key, refresh=True))
        if method == "layers":
            from llmos.plugins.conformance.layers import try_layers

            return try_layers(session)
        if method == "close":
            return session.close()
        raise WrongType(f"there is no call {method}")


class _Thread(threading.Thread):
    """Runs one call after the other, so that a call does not cost a new thread."""

    def __init__(self, runner: Runner) -> None:
        super().__init__(daemon=True)
        self._runner = runner
        self._wake = threading.Semaphore(0)
        self._message: dict[str, Any] = {}
        self.start()

    def give(self, message: dict[str, Any]) -> None:
        self._message = message
        self._wake.release()

    def run(self) -> None:
        while True:
            self._wake.acquire()
            self._runner.run(self._message, self)


def _error(error: BaseException) -> dict[str, str]:
    """What was raised, as kind and text."""
    from llmos.plugins.tools import BadArguments

    text = " ".join(str(error).split())[:500]
    if isinstance(error, BadArguments):
        return {"error": text, "type": "arguments"}
    if isinstance(error, UserError):
        return {"error": text, "type": "user"}
    if isinstance(error, (WrongType, wire.WireError)):
        return {"error": text, "type": "wrong type"}
    if isinstance(error, (SystemExit, KeyboardInterrupt)):
        return {"error": f"it called for the program's end ({type(error).__name__})", "type": "exit"}
    if isinstance(error, (ImportError, SyntaxError)):
        return {"error": f"{type(error).__name__}: {text}", "type": "import"}
    return {"error": f"{type(error).__name__}: {text}" if text else type(error).__name__, "type": "exception"}


def limit_memory(megabytes: int) -> None:
    """Let this process have no more memory of its own than that (where the system can)."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        # Writable private memory: RLIMIT_AS would count address space that is only reserved.
        kind = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
        resource.setrlimit(kind, (megabytes << 20, megabytes << 20))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(argv: Sequence[str]) -> int:
    """Serve one plugin; ends when the program closes the pipe."""
    connection = socket.socket(fileno=int(argv[0]))
    os.set_inheritable(connection.fileno(), False)
    pipe = Pipe(connection)
    first = pipe.read()
    if first is None:
        return 0
    limit_memory(int(first["memory_mb"]))
    if first["no_network"]:
        from llmos.guard.offline import forbid_network

        forbid_network()
    sys.path[:] = list(dict.fromkeys([*first["sys_path"], *sys.path]))
    if first["watch"]:
        from llmos.plugins.watch import watch

        watch(lambda what, detail: pipe.send({"kind": "seen", "what": what, "detail": detail}))
    with contextlib.suppress(OSError, wire.WireError):
        Runner(pipe, first).serve()
    os._exit(0)  # hung threads of the plugin must not keep the process


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
