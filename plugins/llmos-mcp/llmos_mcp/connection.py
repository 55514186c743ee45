"""One server: kept connected, started again when it dies, set aside after three failures."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from llmos.types import UserError
from llmos_mcp.config import Server
from llmos_mcp.transport import open_transport

if TYPE_CHECKING:
    from mcp import Client

T = TypeVar("T")
State = Literal["starting", "ready", "down", "set aside", "disabled", "stopped"]

FAILURES = 3
_CONNECT_SECONDS = 20.0
_STEADY_SECONDS = 30.0
_BACKOFF = (0.3, 2.0, 5.0)
_LARGEST_LIST = 500


@dataclass(slots=True)
class Offers:
    """What a server lists, as the SDK's own objects."""

    tools: list[Any] = field(default_factory=list)
    resources: list[Any] = field(default_factory=list)
    prompts: list[Any] = field(default_factory=list)


class Connection:
    """Lives on the plugin's own event loop.

    Args:
        name: the server's name.
        server: its entry.
        folder: where its log goes.
        is_offline: whether the network may not be used.
        changed: called when its state or its offers changed.
        notify: one line for the user.
    """

    def __init__(
        self,
        name: str,
        server: Server,
        folder: Path,
        is_offline: Callable[[], bool],
        changed: Callable[[], None],
        notify: Callable[[str], None],
    ) -> None:
        """Nothing is started before ``start``."""
        self.name = name
        self.server = server
        self.state: State = "disabled" if server.disabled else "starting"
        self.reason = ""
        self.offers = Offers()
        self.restarts = 0
        self._log = folder / f"{name}.log"
        self._is_offline = is_offline
        self._changed = changed
        self._notify = notify
        self._client: Client | None = None
        self._task: asyncio.Task[None] | None = None
        self._broken = asyncio.Event()
        self.settled = asyncio.Event()
        if server.disabled:
            self.settled.set()

    def start(self) -> None:
        """Begin to connect; on the loop."""
        if not self.server.disabled:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End the connection and the server's process."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await asyncio.wait_for(task, 6.0)
        self.state = "stopped"

    async def _run(self) -> None:
        """Connect, wait for the end, connect again; give up after three failures in a row."""
        failures = 0
        while True:
            start = time.monotonic()
            try:
                await self._once()
                reason = "the server ended the connection"
            except UserError as error:
                self._set("set aside", str(error))  # trying again changes nothing
                self._notify(f"The server {self.name} is not started: {error}")
                return
            except Exception as error:
                reason = describe(error)
            if time.monotonic() - start > _STEADY_SECONDS:
                failures = 0
            failures += 1
            if failures >= FAILURES:
                self._set("set aside", reason)
                self._notify(
                    f"The server {self.name} failed {failures} times ({reason}) and is set aside; "
                    f"/mcp restart {self.name} tries again."
                )
                return
            self._set("down", reason)
            await asyncio.sleep(_BACKOFF[min(failures, len(_BACKOFF)) - 1])
            self.restarts += 1

    async def _once(self) -> None:
        from mcp import Client

        self._broken = asyncio.Event()
        ended = self._broken
        transport = open_transport(self.server, self._log, self._is_offline, ended)
        client = Client(transport, read_timeout_seconds=self.server.timeout, message_handler=self._on_message)
        async with contextlib.AsyncExitStack() as stack:
            async with asyncio.timeout(_CONNECT_SECONDS):
                entering = stack.enter_async_context(client)
                self._client = await _or_ended(entering, ended)
                await self._list()
            self._set("ready", "")
            try:
                await ended.wait()
            finally:
                self._client = None

    async def _on_message(self, message: Any) -> None:
        """A server whose lists change says so."""
        if "list_changed" in str(getattr(message, "method", "")):
            asyncio.get_running_loop().create_task(self._again())

    async def _again(self) -> None:
        with contextlib.suppress(Exception):
            await self._list()
            self._changed()

    async def _list(self) -> None:
        """Everything that the server offers, page by page, within bounds."""
        client = self._client
        if client is None:
            return
        can = client.server_capabilities
        offers = Offers()
        if can.tools is not None:
            offers.tools = await _pages(lambda cursor: client.list_tools(cursor=cursor), "tools")
        if can.resources is not None:
            offers.resources = await _pages(lambda cursor: client.list_resources(cursor=cursor), "resources")
        if can.prompts is not None:
            offers.prompts = await _pages(lambda cursor: client.list_prompts(cursor=cursor), "prompts")
        self.offers = offers

    def _set(self, state: State, reason: str) -> None:
        self.state, self.reason = state, reason
        if state in ("ready", "set aside"):
            self.settled.set()
        self._changed()

    async def use(self, action: Callable[[Client], Awaitable[T]]) -> T:
        """Do something with the connected client.

        Raises:
            UserError: it is not connected, died meanwhile, or refused.
        """
        from mcp import MCPError
        from mcp.types import CONNECTION_CLOSED

        if self._client is None and self.state in ("starting", "down"):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.settled.wait(), 5.0)
        client = self._client
        if client is None:
            why = f": {self.reason}" if self.reason else ""
            raise UserError(
                f"The server {self.name} is {self.state}{why}; /mcp restart {self.name} tries again."
            )
        try:
            return await _or_ended(action(client), self._broken)
        except MCPError as error:
            if error.code != CONNECTION_CLOSED:
                raise UserError(f"The server {self.name} refused: {error.message[:300]}") from error
        except _Ended:
            pass
        raise UserError(f"The server {self.name} ended in the middle of the call; it is started again.")


class _Ended(Exception):
    """The server's side closed."""


async def _or_ended(work: Awaitable[T], ended: asyncio.Event) -> T:
    """Wait for ``work``, but no longer than the connection lives.

    The work stays on this very task, as the SDK's cancel scopes must be left where they are entered.
    """
    task = asyncio.current_task()
    assert task is not None
    hit = False

    async def watch() -> None:
        nonlocal hit
        await ended.wait()
        await asyncio.sleep(0.2)  # what the SDK itself makes of it comes first
        hit = True
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        return await work
    except asyncio.CancelledError:
        if hit and task.uncancel() == 0:
            raise _Ended("the server ended the connection") from None
        raise
    finally:
        watcher.cancel()


async def _pages(fetch: Callable[[str | None], Awaitable[Any]], what: str) -> list[Any]:
    items: list[Any] = []
    cursor: str | None = None
    while len(items) < _LARGEST_LIST:
        page = await fetch(cursor)
        items += getattr(page, what)
        cursor = page.next_cursor
        if not cursor:
            break
    return items[:_LARGEST_LIST]


def describe(error: BaseException) -> str:
    """What went wrong, in a line; the first real error of a group."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, FileNotFoundError):
        return f"there is no program {error.filename or ''}".strip()
    text = " ".join(str(getattr(error, "message", error)).split())[:200]
    return text or type(error).__name__
