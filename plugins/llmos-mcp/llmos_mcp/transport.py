"""Transports of the SDK, watched: the end of a stream is noticed at once, not at the next call."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from llmos.types import UserError
from llmos_mcp.config import Server


@asynccontextmanager
async def open_transport(
    server: Server, log: Path, is_offline: Callable[[], bool], ended: asyncio.Event
) -> AsyncIterator[Any]:
    """Streams to a server, for ``mcp.Client``.

    Args:
        server: its entry.
        log: where a stdio server's stderr goes.
        is_offline: whether the network may not be used.
        ended: set when the server's side closes.

    Raises:
        UserError: offline, or a program that must run without network and cannot.
    """
    import anyio

    async with AsyncExitStack() as stack:
        if server.url:
            inner = await stack.enter_async_context(_http(server, is_offline))
        else:
            inner = await stack.enter_async_context(_stdio(server, log, is_offline()))
        read, write = inner
        into, out = anyio.create_memory_object_stream[Any](0)

        async def pump() -> None:
            try:
                async with into:
                    async for message in read:
                        await into.send(message)
            except (anyio.ClosedResourceError, anyio.BrokenResourceError):
                pass
            finally:
                ended.set()

        task = asyncio.create_task(pump())
        try:
            yield out, write
        finally:
            task.cancel()
            out.close()


@asynccontextmanager
async def _stdio(server: Server, log: Path, offline: bool) -> AsyncIterator[Any]:
    from mcp import StdioServerParameters, stdio_client

    command = [server.command, *server.args]
    if command[0] in ("python", "python3"):
        command[0] = sys.executable
    if offline or not server.network:
        from llmos.guard.offline import can_forbid_network, no_network_argv

        if not can_forbid_network():
            raise UserError(
                f"{server.command} must run without network, which cannot be enforced here; it is not started."
            )
        command = no_network_argv(command)
    parameters = StdioServerParameters(
        command=command[0], args=command[1:], env=server.env or None, cwd=server.cwd
    )
    with log.open("w", encoding="utf-8") as file:
        async with stdio_client(parameters, errlog=file) as streams:
            yield streams


@asynccontextmanager
async def _http(server: Server, is_offline: Callable[[], bool]) -> AsyncIterator[Any]:
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    async def check(request: Any) -> None:
        if is_offline():
            raise UserError(f"{server.url} cannot be used: the program is offline.")

    if is_offline():
        raise UserError(f"{server.url} cannot be used: the program is offline.")
    client = httpx2.AsyncClient(
        headers=server.headers,
        timeout=httpx2.Timeout(30.0, read=300.0),
        trust_env=False,
        event_hooks={"request": [check]},
    )
    async with client, streamable_http_client(server.url, http_client=client) as streams:
        yield streams
