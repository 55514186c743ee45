"""What the conversation core needs of the layers beside it, as a small protocol.

``Plugins`` is implemented by ``llmos.plugins.manager.PluginManager``. It is structural: nobody has
to import this module to fit it. What a session gives that manager to build each plugin's ``host``
from is ``llmos.plugins.services.Services``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from llmos.plugins.contributions import Persona, ToolContext, Turn
from llmos.plugins.hookspecs import Middleware
from llmos.types import (
    Mark,
    Page,
    ToolCall,
    ToolResult,
    ToolSpec,
)


class Plugins(Protocol):
    """The loaded plugins, behind one object; no method ever raises what a plugin raised.

    Faults of plugins are caught, counted and told (``notify``) inside; what is left of the
    others' answers is returned. Every coroutine returns within the manager's deadlines.
    """

    async def prepare(self) -> None:
        """Load what must be known before a turn (tools without a declared schema, middleware)."""
        ...

    async def context(self, turn: Turn) -> list[Page]:
        """Pages to bring in just before the user's message, best first, within ``turn.budget``."""
        ...

    async def evict(self, window: Sequence[Page], need: int) -> list[str] | None:
        """Ids of pages in the order in which to evict; None when no plugin has a word on it."""
        ...

    async def marks(self, turn: Turn) -> list[Mark]:
        """Marks on parts of ``turn.answer``, in the order of its text."""
        ...

    async def turn_done(self, turn: Turn) -> None:
        """Tell every plugin that a turn ended; may return before they have finished."""
        ...

    def tools(self) -> list[ToolSpec]:
        """Tools on offer now, names unique."""
        ...

    async def call_tool(self, call: ToolCall, context: ToolContext) -> ToolResult:
        """Run one call under its time limit.

        Errors, timeouts and unknown names come back as a result with ``ok`` False. Cancelling
        the coroutine sets the context's ``cancelled`` and returns at once. ``context.progress``
        may be called from any thread.
        """
        ...

    async def personas(self) -> list[Persona]:
        """Experts that plugins bring."""
        ...

    def middleware(self) -> list[tuple[str, Middleware]]:
        """Named middleware, outermost first: ``(plugin name, async def (request, next))``.

        ``next`` yields deltas and at last ``TurnDone`` with an answer that is not stored yet; a
        layer does the same: the last ``TurnDone`` that it yields is the answer.
        """
        ...

    def fault(self, plugin: str, error: BaseException) -> None:
        """Count a fault of a plugin's middleware, which the core has caught and told."""
        ...
