"""Hooks of the plugin. The SDK takes a second to import, so nothing of it is imported without servers."""

from __future__ import annotations

from typing import Any

from llmos.plugins import Command, Host, Panel, StatusItem, Tool, ToolContext, hookimpl
from llmos.types import EffectClass, ToolResult
from llmos_mcp.commands import Commands, read_resource
from llmos_mcp.connection import Connection
from llmos_mcp.hub import Hub
from llmos_mcp.offers import labels_of, one_line, result_of, tool_name, tools_of

_hub: Hub | None = None


def _ready() -> Hub:
    assert _hub is not None, "llmos_start comes first"
    return _hub


@hookimpl
def llmos_start(host: Host) -> None:
    """Keep the host; servers start with the first turn or command."""
    global _hub
    _hub = Hub(host)


@hookimpl
def llmos_stop(host: Host) -> None:
    """End every server."""
    if _hub is not None:
        _hub.close()


@hookimpl
def llmos_tools(host: Host) -> list[Tool]:
    """Tools of the servers that are connected now; later ones are announced by ``tools_changed``."""
    hub = _ready()
    hub.ensure(wait=float(host.settings.get("start_seconds", 10)))
    tools: list[Tool] = []
    for connection in list(hub.connections.values()):
        tools += tools_of(connection, _call)
        if connection.offers.resources:
            tools.append(_resource_tool(connection))
    return tools


def _call(connection: Connection, tool: str, arguments: dict[str, Any], context: ToolContext) -> ToolResult:
    """One call of a server's tool, with its progress shown."""
    timeout = connection.server.timeout

    async def show(progress: float, total: float | None, message: str | None) -> None:
        share = f"{progress:g}/{total:g}" if total else f"{progress:g}"
        context.progress(one_line(f"{share} {message or ''}"))

    answer = _ready().run(
        connection.use(
            lambda client: client.call_tool(
                tool, arguments, read_timeout_seconds=timeout, progress_callback=show
            )
        ),
        timeout,
        context.cancelled,
    )
    return result_of(connection, answer)


def _resource_tool(connection: Connection) -> Tool:
    """One tool that reads a server's resources."""

    def read(uri: str) -> ToolResult:
        """Read a resource."""
        return ToolResult(read_resource(_ready(), connection, uri), labels=labels_of(connection))

    listed = ", ".join(one_line(str(one.uri), 80) for one in connection.offers.resources[:8])
    return Tool(
        read,
        effect=EffectClass.NETWORK if connection.server.url else EffectClass.READ,
        name=tool_name(connection.name, "read_resource"),
        description=one_line(f"Reads a resource of {connection.name}, for example {listed}"),
        time_limit=connection.server.timeout,
        description_trusted=connection.server.trusted,
    )


@hookimpl
def llmos_commands(host: Host) -> list[Command]:
    """``/mcp …``."""
    return Commands(_ready()).all()


@hookimpl
def llmos_panels(host: Host) -> list[Panel]:
    """The servers."""
    commands = Commands(_ready())
    return [Panel("servers", "MCP", commands.view, act=commands.act, refresh=3.0)]


@hookimpl
def llmos_status(host: Host) -> list[StatusItem]:
    """How many servers are ready."""
    return [StatusItem("servers", Commands(_ready()).status, refresh=5.0)]
