"""What the conversation core needs of the layers beside it, as small protocols.

``Plugins`` is implemented by ``llmos.plugins.manager.PluginManager``; ``Services`` is what a
session gives that manager to build each plugin's ``host`` from. The protocols are structural:
nobody has to import this module to fit them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

from llmos.plugins.contributions import ToolContext, Turn
from llmos.plugins.hookspecs import Middleware
from llmos.plugins.host_api import Generation
from llmos.types import (
    Approval,
    ApprovalAnswer,
    Labels,
    Message,
    Page,
    SamplingSettings,
    ToolCall,
    ToolResult,
    ToolSpec,
)


class Plugins(Protocol):
    """The loaded plugins, behind one object; no method ever raises what a plugin raised.

    Faults of plugins are caught, counted and told (``notify``) inside; what is left of the
    others' answers is returned. Every coroutine returns within the manager's deadlines.
    """

    async def context(self, turn: Turn) -> list[Page]:
        """Pages to bring in just before the user's message, best first, within ``turn.budget``."""
        ...

    async def evict(self, window: Sequence[Page], need: int) -> list[str] | None:
        """Ids of pages in the order in which to evict; None when no plugin has a word on it."""
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

    def middleware(self) -> list[tuple[str, Middleware]]:
        """Named middleware, outermost first: ``(plugin name, async def (request, next))``.

        ``next`` yields deltas and at last ``TurnDone`` with an answer that is not stored yet; a
        layer does the same: the last ``TurnDone`` that it yields is the answer.
        """
        ...

    def fault(self, plugin: str, error: BaseException) -> None:
        """Count a fault of a plugin's middleware, which the core has caught and told."""
        ...


class Services(Protocol):
    """What the program offers to plugins; coroutines on the program's loop.

    The manager bridges them to the blocking ``host`` (``run_coroutine_threadsafe``) and is given
    this object as it is made: ``PluginManager(settings, folders, services)``.
    """

    @property
    def model_name(self) -> str:
        """Name of the loaded model, or empty."""
        ...

    @property
    def context_size(self) -> int:
        """Its context window in tokens, 0 when none is loaded."""
        ...

    @property
    def offline(self) -> bool:
        """True when the network may not be used."""
        ...

    @property
    def idle(self) -> bool:
        """True when nobody waits for an answer."""
        ...

    async def generate(
        self,
        prompt: str | Sequence[Message],
        *,
        system: str = "",
        max_tokens: int = 256,
        sampling: SamplingSettings | None = None,
        grammar: str = "",
        schema: Mapping[str, Any] | None = None,
        background: bool = True,
    ) -> Generation:
        """Generate without tools in a sequence of its own."""
        ...

    def stream(
        self, prompt: str | Sequence[Message], *, system: str = "", max_tokens: int = 256
    ) -> AsyncIterator[str]:
        """As ``generate``, yielding text as it comes."""
        ...

    async def fork(self, prompt: Sequence[Message], samples: int, *, max_tokens: int = 256) -> list[Generation]:
        """Several answers decoded together from one shared prefix."""
        ...

    async def count_tokens(self, text: str) -> int:
        """Length in the loaded model's tokens; an estimate when none is loaded."""
        ...

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Normalised vectors from the embedder worker."""
        ...

    def embedder_id(self) -> str:
        """Name and hash of the embedder, empty when none is available."""
        ...

    async def approve(self, approval: Approval) -> ApprovalAnswer:
        """Ask the user outside of a turn; ``deny`` without a user to ask."""
        ...

    def notify(self, text: str, level: str = "info") -> None:
        """One line for the user; may be called from any thread."""
        ...

    async def chat_messages(self, chat_id: str) -> list[Message]:
        """Messages of a chat on its current branch, oldest first."""
        ...

    async def search_chats(self, query: str, limit: int = 20) -> list[Message]:
        """Full-text search over all chats."""
        ...

    def window_labels(self, chat_id: str) -> Labels:
        """Joined labels of what is in a chat's window."""
        ...

    def window_pages(self, chat_id: str) -> list[Page]:
        """Pages of a chat, those in the window first, then those swapped out."""
        ...

    def pin_page(self, chat_id: str, page_id: str, pinned: bool) -> None:
        """Pin or unpin a page of a chat."""
        ...
