"""Fits a window to the model's context: measures, evicts, says what does not fit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from llmos.conversation.errors import PromptTooLong
from llmos.conversation.ports import Plugins
from llmos.conversation.window import ATTACHED, Window, estimate_tokens, shown_text
from llmos.kernel.protocol import Kernel, Rendered
from llmos.types import Message, Page, ToolSpec

#: Most tokens that plugins may bring into the window in one turn.
CONTEXT_TOKENS = 1_536
#: Tokens kept for the answer when the user sets no limit, at most a quarter of the window.
ANSWER_TOKENS = 1_024
#: Share of the window that one tool result may take.
RESULT_SHARE = 0.3

Stored = Callable[[list[Page]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Fitted:
    """A window that fits.

    Attributes:
        messages: as they were rendered.
        rendered: the prompt.
        reserve: tokens that are free for the answer, at least.
    """

    messages: list[Message]
    rendered: Rendered
    reserve: int


def _kept(window: Window) -> list[Page]:
    """What stays whatever is brought: the system prompt and the user's message with its pages."""
    return [page for page in (window.system, *window.slots[-1].pages) if page is not None]


class Budget:
    """How a window shares the context with the answer.

    Args:
        kernel: counts and renders; its model is loaded.
        plugins: have the first word on what to evict.
        max_tokens: most tokens of the answer; None for what fits.
    """

    def __init__(self, kernel: Kernel, plugins: Plugins, max_tokens: int | None) -> None:
        self._kernel = kernel
        self._plugins = plugins
        model = kernel.model
        self.context = model.context if model else 0
        wanted = max_tokens or ANSWER_TOKENS
        self.reserve = max(16, min(wanted, self.context // (2 if max_tokens else 4)))

    @property
    def prompt_tokens(self) -> int:
        """Most tokens of a prompt."""
        return self.context - self.reserve

    async def count(self, text: str) -> int:
        """Tokens of a text."""
        return len(await self._kernel.tokenize(text)) if text else 0

    async def count_pages(self, pages: Sequence[Page]) -> None:
        """Fill in the lengths of pages that are not known yet; empty ones have none."""
        unknown = [page for page in pages if not page.tokens and page.text]
        lengths = await asyncio.gather(*(self.count(shown_text(page)) for page in unknown))
        for page, length in zip(unknown, lengths, strict=True):
            page.tokens = length

    def rough_room(self, window: Window) -> int | None:
        """``context_room`` by estimate; None where only counting tells, for much is not counted yet."""
        kept = _kept(window)
        if sum(len(page.text) for page in kept if not page.tokens) > self.prompt_tokens // 4:
            return None
        return self._room(window, [page.tokens or estimate_tokens(shown_text(page)) for page in kept])

    async def context_room(self, window: Window) -> int:
        """Tokens that plugins may bring in before the user's message, the last of the window."""
        kept = _kept(window)
        await self.count_pages(kept)
        return self._room(window, [page.tokens for page in kept])

    def _room(self, window: Window, lengths: Sequence[int]) -> int:
        return max(0, min(CONTEXT_TOKENS, (self.prompt_tokens - window.fixed_tokens - sum(lengths)) // 2))

    async def take_within(self, pages: Sequence[Page], budget: int) -> list[Page]:
        """The pages, best first, that fit a budget together."""
        lengths = await asyncio.gather(*(self.count(shown_text(page)) for page in pages))
        taken: list[Page] = []
        for page, length in zip(pages, lengths, strict=True):
            page.tokens = length
            if length <= budget:
                budget -= length
                taken.append(page)
        return taken

    async def clip_result(self, text: str) -> str:
        """A tool's text, cut to its share of the window."""
        most = int(self.context * RESULT_SHARE)
        if len(text) <= most:  # no tokenizer makes more tokens than that of so many letters
            return text
        tokens = await self._kernel.tokenize(text)
        if len(tokens) <= most:
            return text
        kept = await self._kernel.detokenize(tokens[:most])
        return f"{kept.rstrip(chr(0xFFFD))}\n[… {len(text) - len(kept):,} more characters were left out]"

    async def fit(self, window: Window, tools: Sequence[ToolSpec], user: Message, evicted: Stored) -> Fitted:
        """Render the window, evicting until it leaves room for the answer.

        Args:
            window: changed in place.
            tools: tools in the prompt.
            user: the user's message of this turn, which stays.
            evicted: called with the pages of every batch that left.

        Raises:
            PromptTooLong: nothing more can leave.
        """
        await self._evict_unrendered(window, user, evicted)
        while True:
            messages = window.messages()
            rendered = await self._kernel.render_chat(messages, tools)
            length = len(rendered.tokens)
            if length <= self.prompt_tokens:
                await self._measure(window, length)
                return Fitted(messages, rendered, self.context - length)
            if not await self._evict(window, length, user, evicted):
                raise await self._too_long(window, user, length)

    async def _evict_unrendered(self, window: Window, user: Message, evicted: Stored) -> None:
        """A first batch by estimate, where it is sure that the window is too long: saves a rendering."""
        unknown = [page for page in window.pages if not page.tokens and page.text]
        sure = bool(window.fixed_tokens) and len(unknown) <= 8
        if sure:
            await self.count_pages(unknown)
        if window.tokens_used() > self.prompt_tokens * (1 if sure else 2):
            await self._evict(window, window.tokens_used(), user, evicted)

    async def _measure(self, window: Window, length: int) -> None:
        """Learn what tools and template add, where all pages are counted (or nearly all)."""
        unknown = [page for page in window.pages if not page.tokens and page.text]
        if len(unknown) <= 8:
            await self.count_pages(unknown)
            window.fixed_tokens = max(0, length - (window.tokens_used() - window.fixed_tokens))

    async def _evict(self, window: Window, length: int, user: Message, evicted: Stored) -> bool:
        """One batch down to the low-water mark; False when nothing could leave."""
        candidates = window.candidates(user.id)
        if not candidates:
            gone = window.evict([], length - self.prompt_tokens, window.last_resort(user.id), user.id)
            if gone:
                await evicted(gone)
            return bool(gone)
        need = length - int(self.prompt_tokens * window.low_water)
        if len(candidates) <= 512:
            await self.count_pages(candidates)
        order = await self._plugins.evict(window.pages, need)
        must = length - self.prompt_tokens
        gone = window.evict(order or [], need, candidates, user.id, must=must)
        if gone:
            await evicted(gone)
        return bool(gone)

    async def _too_long(self, window: Window, user: Message, length: int) -> PromptTooLong:
        """The error that says how long the message is and what fits."""
        tokens = await self._kernel.tokenize(user.content)
        pages = [one for slot in window.slots if slot.message.id == user.id for one in slot.attached]
        given = [page for page in pages if page.where == "window" and page.reason == ATTACHED]
        await self.count_pages(given)
        attached = sum(page.tokens for page in given)
        around = max(0, length - len(tokens) - attached)
        fits = self.prompt_tokens - around
        fitting = await self._kernel.detokenize(tokens[: max(0, fits)]) if fits > 0 else ""
        return PromptTooLong(len(tokens), fits, self.context, fitting.rstrip("\ufffd"), attached)
