"""What the program offers to plugins, as one protocol.

``llmos.conversation`` implements it; the manager bridges it to the blocking ``host`` that plugins
see (``PluginManager(settings, folders, services)``). Everything async runs on the program's loop.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from llmos.plugins.host_api import Generation, KvState
from llmos.types import Approval, ApprovalAnswer, Labels, Message, Page, SamplingSettings


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
    def model_parameters(self) -> int:
        """Number of its weights, 0 when none is loaded or it is not known."""
        ...

    @property
    def offline(self) -> bool:
        """True when the network may not be used."""
        ...

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

    async def evict_page(self, chat_id: str, page_id: str) -> bool:
        """Take a page out of a chat's window; False when it cannot leave."""
        ...

    async def kv_state(self, chat_id: str) -> KvState:
        """Where a chat's KV state is, and what it takes."""
        ...

    def register_embedder(self, path: Path) -> None:
        """An embedding GGUF on offer as the default one; the user's own setting wins."""
        ...
