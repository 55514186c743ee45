"""A scripted stand-in for the plugin manager, for tests of the conversation core alone."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmos.plugins.contributions import Persona, ToolContext, Turn
from llmos.plugins.hookspecs import Middleware
from llmos.types import Mark, Page, ToolCall, ToolResult, ToolSpec


@dataclass
class FakePlugins:
    """Implements ``llmos.conversation.ports.Plugins`` from plain values.

    Attributes:
        specs: tools on offer.
        functions: what runs them, ``function(**arguments) -> str | ToolResult``, sync or async.
        bring: ``turn -> pages``.
        order: ``(window, need) -> ids`` for eviction.
        layers: middleware.
        remark: ``turn -> marks`` on its answer.
    """

    specs: list[ToolSpec] = field(default_factory=list)
    functions: dict[str, Callable[..., Any]] = field(default_factory=dict)
    bring: Callable[[Turn], list[Page]] | None = None
    order: Callable[[Sequence[Page], int], list[str] | None] | None = None
    layers: list[tuple[str, Middleware]] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    faults: list[tuple[str, BaseException]] = field(default_factory=list)
    experts: list[Persona] = field(default_factory=list)
    remark: Callable[[Turn], list[Mark]] | None = None

    async def prepare(self) -> None:
        return None

    async def personas(self) -> list[Persona]:
        return list(self.experts)

    async def context(self, turn: Turn) -> list[Page]:
        return self.bring(turn) if self.bring else []

    async def evict(self, window: Sequence[Page], need: int) -> list[str] | None:
        return self.order(window, need) if self.order else None

    async def marks(self, turn: Turn) -> list[Mark]:
        return self.remark(turn) if self.remark else []

    async def turn_done(self, turn: Turn) -> None:
        self.turns.append(turn)

    def tools(self) -> list[ToolSpec]:
        return list(self.specs)

    async def call_tool(self, call: ToolCall, context: ToolContext) -> ToolResult:
        self.calls.append(call)
        result = self.functions[call.name](**call.arguments)
        if inspect.isawaitable(result):
            result = await result
        return result if isinstance(result, ToolResult) else ToolResult(str(result))

    def middleware(self) -> list[tuple[str, Middleware]]:
        return list(self.layers)

    def fault(self, plugin: str, error: BaseException) -> None:
        self.faults.append((plugin, error))
