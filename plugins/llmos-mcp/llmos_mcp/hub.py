"""All servers, on an event loop of their own thread; the plugin's hooks call in from theirs."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from llmos.plugins import Host
from llmos.types import UserError
from llmos_mcp.config import read_config
from llmos_mcp.connection import Connection

T = TypeVar("T")


class Hub:
    """Starts servers when they are first needed.

    Args:
        host: the plugin's host.
    """

    def __init__(self, host: Host) -> None:
        """Nothing is started yet."""
        self._host = host
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self.connections: dict[str, Connection] = {}
        self._started = False

    @property
    def config_path(self) -> Path:
        """The file with ``mcpServers``."""
        chosen = str(self._host.settings.get("config", ""))
        return Path(chosen).expanduser() if chosen else self._host.data_dir / "mcp.json"

    def ensure(self, wait: float = 0.0) -> None:
        """Start every server of the file that is not started; wait until they have answered or failed."""
        with self._lock:
            if not self._started:
                servers = read_config(self.config_path)
                self._started = True
                if servers:
                    self._on_loop(self._open(list(servers)))
        if wait and self.connections:
            self._settle(wait)

    def _settle(self, seconds: float) -> None:
        async def settle() -> None:
            waiting = [connection.settled.wait() for connection in self.connections.values()]
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.gather(*waiting), seconds)

        self._on_loop(settle())

    async def _open(self, names: list[str]) -> None:
        servers = read_config(self.config_path)
        for name in names:
            connection = Connection(
                name,
                servers[name],
                self._host.data_dir,
                lambda: self._host_offline(),
                self._changed,
                self._notify,
            )
            self.connections[name] = connection
            connection.start()

    def _host_offline(self) -> bool:
        from llmos.offline import is_offline

        return is_offline()

    def _changed(self) -> None:
        """From the hub's loop: the host is called on another thread, since its calls may block."""
        threading.Thread(target=self._quietly, args=(self._host.tools_changed,), daemon=True).start()

    def _notify(self, text: str) -> None:
        threading.Thread(target=self._quietly, args=(self._host.notify, text, "warning"), daemon=True).start()

    def _quietly(self, function: Callable[..., Any], *arguments: Any) -> None:
        with contextlib.suppress(Exception):  # the program may be ending
            function(*arguments)

    def connection(self, name: str) -> Connection:
        """A server by its name.

        Raises:
            UserError: there is none.
        """
        self.ensure(wait=5.0)
        found = self.connections.get(name)
        if found is None:
            known = ", ".join(self.connections) or "none"
            raise UserError(f"There is no server {name!r}; the servers are: {known}.")
        return found

    def restart(self, name: str) -> None:
        """Start a server again, by its present entry in the file."""
        servers = read_config(self.config_path)
        if name not in servers:
            raise UserError(f"There is no server {name!r} in {self.config_path}.")
        self.forget(name)
        self.ensure()
        self._on_loop(self._open([name]))
        self._settle(15.0)

    def forget(self, name: str) -> None:
        """End a server."""
        connection = self.connections.pop(name, None)
        if connection is not None:
            self._on_loop(connection.stop())
            self._changed()

    def run(
        self, work: Coroutine[Any, Any, T], timeout: float, cancelled: Callable[[], bool] = lambda: False
    ) -> T:
        """Run on the hub's loop from a plugin's thread.

        Raises:
            UserError: no answer in time, or the user stopped it.
        """
        future = asyncio.run_coroutine_threadsafe(work, self._running_loop())
        left = timeout
        while True:
            try:
                return future.result(timeout=0.1)
            except concurrent.futures.TimeoutError:
                if future.done():
                    raise UserError("The server did not answer in time.") from None
                left -= 0.1
                if left <= 0 or cancelled():
                    future.cancel()
                    reason = "did not answer in time" if left <= 0 else "was stopped"
                    raise UserError(f"The call {reason}.") from None

    def _on_loop(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._running_loop()).result()

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="mcp-servers", daemon=True)
            self._thread.start()
        return self._loop

    def close(self) -> None:
        """End all servers and the loop."""
        if self._loop is None:
            return
        loop, thread = self._loop, self._thread

        async def stop_all() -> None:
            await asyncio.gather(*(one.stop() for one in self.connections.values()), return_exceptions=True)

        with contextlib.suppress(Exception):
            asyncio.run_coroutine_threadsafe(stop_all(), loop).result(timeout=7.0)
        loop.call_soon_threadsafe(loop.stop)
        if thread is not None:
            thread.join(timeout=1.0)
        self._loop = None
        self.connections.clear()
        self._started = False
