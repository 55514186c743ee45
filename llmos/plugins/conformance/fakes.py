"""A program that is not there: ``Services`` with scripted answers, which can be told to fail."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from llmos.plugins.host_api import Generation, KvState
from llmos.types import (
    SYSTEM_LABELS,
    Approval,
    ApprovalAnswer,
    Labels,
    Message,
    Page,
    SamplingSettings,
    UserError,
)


class FakeServices:
    """Implements ``llmos.plugins.services.Services``.

    Attributes:
        failing: True makes the model, the embedder and the store of chats refuse, as they do when
            no model is loaded or a worker has died.
        notices: lines that plugins sent to the user.
        asked: approvals that were asked; all are denied.
    """

    def __init__(self) -> None:
        """All is well at first."""
        self.failing = False
        self.notices: list[str] = []
        self.asked: list[Approval] = []
        self.offline = True
        self.idle = True
        self.quiet_seconds = 60.0

    @property
    def model_name(self) -> str:
        """Empty while failing: no model is loaded."""
        return "" if self.failing else "fake-model"

    @property
    def context_size(self) -> int:
        """Tokens."""
        return 0 if self.failing else 2048

    @property
    def model_parameters(self) -> int:
        """Weights."""
        return 0 if self.failing else 3_000_000

    def _work(self, what: str) -> None:
        if self.failing:
            raise UserError(f"{what} is not available: the kernel died and no model is loaded.")

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
        """A short fixed answer; with a schema the smallest JSON that fits it."""
        self._work("Generation")
        if schema is not None:
            import json

            from llmos.plugins.conformance.samples import sample

            return Generation(json.dumps(sample(schema)), 4, -0.5, "stop")
        return Generation("A fake answer.", 4, -0.5, "stop")

    async def stream(
        self, prompt: str | Sequence[Message], *, system: str = "", max_tokens: int = 256
    ) -> AsyncIterator[str]:
        """The same, word by word."""
        self._work("Generation")
        for word in ("A ", "fake ", "answer."):
            yield word

    async def fork(self, prompt: Sequence[Message], samples: int, *, max_tokens: int = 256) -> list[Generation]:
        """The same answer several times."""
        self._work("Generation")
        return [Generation(f"A fake answer {number % 2}.", 4, -0.5, "stop") for number in range(samples)]

    async def count_tokens(self, text: str) -> int:
        """Four characters a token."""
        return (len(text) + 3) // 4

    async def embed(self, texts: Sequence[str], embedder: str = "") -> list[list[float]]:
        """Letter frequencies."""
        self._work("The embedder")
        vectors: list[list[float]] = []
        for text in texts:
            counts = [text.lower().count(letter) + 0.01 for letter in "abcdefghijklmnopqrstuvwxyz"]
            length = sum(count * count for count in counts) ** 0.5
            vectors.append([count / length for count in counts])
        return vectors

    def embedder_id(self) -> str:
        """Empty while failing."""
        return "" if self.failing else "fake-letters"

    def register_embedder(self, path: Path) -> None:
        """Nothing to register with."""

    async def approve(self, approval: Approval) -> ApprovalAnswer:
        """Always no: a plugin must live with that."""
        self.asked.append(approval)
        return "deny"

    def notify(self, text: str, level: str = "info") -> None:
        """Kept."""
        self.notices.append(text)

    async def chat_messages(self, chat_id: str) -> list[Message]:
        """Two messages."""
        self._work("The store of chats")
        return [Message("user", "What is a page?"), Message("assistant", "A piece of the window.")]

    async def search_chats(self, query: str, limit: int = 20) -> list[Message]:
        """One message."""
        self._work("The store of chats")
        return [Message("user", f"Something about {query}")][:limit]

    def window_labels(self, chat_id: str) -> Labels:
        """Trusted and public."""
        return SYSTEM_LABELS

    def window_pages(self, chat_id: str) -> list[Page]:
        """A small window."""
        return [Page("You are helpful.", kind="system", pinned=True, tokens=4), Page("Hello", tokens=2)]

    async def evict_page(self, chat_id: str, page_id: str) -> bool:
        """Nothing to evict."""
        return False

    async def kv_state(self, chat_id: str) -> KvState:
        """Nothing is held."""
        return KvState()

    def pin_page(self, chat_id: str, page_id: str, pinned: bool) -> None:
        """Nothing to pin."""
