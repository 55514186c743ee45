"""What the program offers to plugins, as one protocol.

``llmos.conversation`` implements it; the manager bridges it to the blocking ``host`` that plugins
see (``PluginManager(settings, folders, services)``). Everything async runs on the program's loop.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

from llmos.plugins.host_api import Generation, KvState
from llmos.plugins.program import Program
from llmos.types import Approval, ApprovalAnswer, Message, SamplingSettings


class Services(Program, Protocol):
    """What the program offers to plugins; coroutines on the program's loop.

    The manager bridges them to the blocking ``host`` (``run_coroutine_threadsafe``) and is given
    this object as it is made: ``PluginManager(settings, folders, services)``.
    """

    @property
    def idle(self) -> bool:
        """True when nobody waits for an answer."""
        ...

    @property
    def quiet_seconds(self) -> float:
        """Seconds since somebody typed or an answer was being made; 0 while one is."""
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
        while_quiet: bool = False,
    ) -> Generation:
        """Generate without tools in a sequence of its own; ``while_quiet``: until the person sends."""
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

    async def embed(self, texts: Sequence[str], embedder: str = "") -> list[list[float]]:
        """Normalised vectors from the embedder worker, by an earlier embedder where one is named."""
        ...

    async def approve(self, approval: Approval) -> ApprovalAnswer:
        """Ask the user outside of a turn; ``deny`` without a user to ask."""
        ...

    async def chat_messages(self, chat_id: str) -> list[Message]:
        """Messages of a chat on its current branch, oldest first."""
        ...

    async def search_chats(self, query: str, limit: int = 20) -> list[Message]:
        """Full-text search over all chats."""
        ...

    async def evict_page(self, chat_id: str, page_id: str) -> bool:
        """Take a page out of a chat's window; False when it cannot leave."""
        ...

    async def kv_state(self, chat_id: str) -> KvState:
        """Where a chat's KV state is, and what it takes."""
        ...
