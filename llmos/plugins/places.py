"""Where a plugin's code runs: inside the program on worker threads, or in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from llmos.plugins.contributions import CommandContext, CommandResult, ToolContext
from llmos.plugins.discovery import Found
from llmos.plugins.host import PluginHost
from llmos.plugins.manifest import Manifest
from llmos.plugins.session import PluginSession
from llmos.plugins.workers import WorkerPool
from llmos.types import ToolResult, ToolSpec


class Place(Protocol):
    """One loaded plugin; calls raise what the plugin raised, or that it was too slow or died."""

    async def open(self, deadline: float) -> list[str]:
        """Import it and call ``llmos_start``; returns the hooks that it implements."""
        ...

    async def hook(self, name: str, arguments: Mapping[str, Any], deadline: float) -> Any:
        """Call a hook."""
        ...

    async def specs(self, deadline: float) -> list[ToolSpec]:
        """Its tools."""
        ...

    async def tool(
        self, name: str, arguments: Mapping[str, Any], context: ToolContext, deadline: float
    ) -> ToolResult:
        """Run a tool."""
        ...

    async def command(self, name: str, arguments: Mapping[str, Any], context: CommandContext) -> CommandResult:
        """Run a command, for as long as it takes."""
        ...

    async def part(self, method: str, *arguments: Any, deadline: float) -> Any:
        """View a panel, status item or renderer (a method of ``PluginSession``)."""
        ...

    async def close(self, deadline: float, forget: bool = False) -> None:
        """Call ``llmos_stop`` and let go."""
        ...


class InProcess:
    """A plugin on worker threads of this process; implements ``Place``."""

    def __init__(self, found: Found, manifest: Manifest, host: PluginHost) -> None:
        """Nothing is imported before ``open``."""
        self._found = found
        self._pool = WorkerPool(manifest.name)
        self.session = PluginSession(manifest.name, host, manifest.hooks)

    async def open(self, deadline: float) -> list[str]:
        """Import it and call ``llmos_start``."""
        found = self._found
        result: list[str] = await self._pool.call(
            self.session.open, found.module, found.source, found.path, deadline=deadline
        )
        return result

    async def hook(self, name: str, arguments: Mapping[str, Any], deadline: float) -> Any:
        """Call a hook."""
        return await self._pool.call(self._call, name, arguments, deadline=deadline)

    def _call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        return self.session.call(name, **arguments)

    async def specs(self, deadline: float) -> list[ToolSpec]:
        """Its tools."""
        bound = await self._pool.call(self.session.tools, True, deadline=deadline)
        return [one.spec for one in bound.values()]

    async def tool(
        self, name: str, arguments: Mapping[str, Any], context: ToolContext, deadline: float
    ) -> ToolResult:
        """Run a tool."""
        result: ToolResult = await self._pool.call(
            self.session.run_tool, name, arguments, context, deadline=deadline
        )
        return result

    async def command(self, name: str, arguments: Mapping[str, Any], context: CommandContext) -> CommandResult:
        """Run a command."""
        result: CommandResult = await self._pool.call(self.session.run_command, name, arguments, context)
        return result

    async def part(self, method: str, *arguments: Any, deadline: float) -> Any:
        """View a panel, status item or renderer."""
        return await self._pool.call(getattr(self.session, method), *arguments, deadline=deadline)

    async def close(self, deadline: float, forget: bool = False) -> None:
        """Call ``llmos_stop`` and end the threads."""
        try:
            await self._pool.call(self.session.close, forget, deadline=deadline)
        finally:
            self._pool.close()
