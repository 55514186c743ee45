"""What paging did in a chat, in figures: window, hits, evaluated tokens, KV bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from llmos.plugins import KvState
from llmos.types import Page
from llmos_ram.pager import Pager, when


@dataclass(frozen=True, slots=True)
class ChatFigures:
    """Figures of one chat.

    Attributes:
        window_tokens, context_size: tokens of the pages in the window now, and tokens that fit.
        window_pages, swapped_pages, summaries: how many there are.
        turns: turns that asked for pages.
        evicted: pages that were evicted.
        searched: turns that searched evicted pages; ``hits`` of them brought one or more.
        recalled, recalled_tokens: pages that came back, and their tokens.
        counted_turns: turns whose tokens were counted; in these, ``prompt_tokens`` were read in all,
            ``evaluated_tokens`` of them anew (the others were in the KV cache), ``evaluated_last``
            in the last one.
        kv: where the KV state is, and its bytes.
    """

    window_tokens: int
    context_size: int
    window_pages: int
    swapped_pages: int
    summaries: int
    turns: int
    evicted: int
    searched: int
    hits: int
    recalled: int
    recalled_tokens: int
    counted_turns: int
    prompt_tokens: int
    evaluated_tokens: int
    evaluated_last: int
    kv: KvState

    @property
    def used_tokens(self) -> int:
        """Tokens that the model holds of this chat: pages, template and tools; as the status bar shows them.

        Where it holds none (the chat was not answered yet, or is not loaded), those of the pages.
        """
        return self.kv.tokens or self.window_tokens

    @property
    def hit_ratio(self) -> float | None:
        """Share of searching turns that brought something; None before the first search."""
        return self.hits / self.searched if self.searched else None

    @property
    def evaluated_a_turn(self) -> float | None:
        """Tokens evaluated a turn; None before the first counted one."""
        return self.evaluated_tokens / self.counted_turns if self.counted_turns else None

    @property
    def cached_share(self) -> float | None:
        """Share of prompt tokens that the KV cache held already."""
        return 1 - self.evaluated_tokens / self.prompt_tokens if self.prompt_tokens else None

    def data(self) -> dict[str, Any]:
        """As JSON-able data."""
        return {
            **asdict(self),
            "used_tokens": self.used_tokens,
            "hit_ratio": self.hit_ratio,
            "evaluated_a_turn": self.evaluated_a_turn,
            "cached_share": self.cached_share,
        }

    def lines(self) -> list[str]:
        """As lines for the person."""
        kv = self.kv
        cache = f"this chat {size(kv.bytes)} ({kv.tokens:,} tokens)"
        if kv.capacity_bytes:
            cache += f" of {size(kv.capacity_bytes)}"
        if kv.saved_bytes:
            cache += f"; on disk {size(kv.saved_bytes)} of {when(kv.saved_at)}"
        hits = (
            f"hit ratio {self.hit_ratio:.0%} ({self.hits} of {self.searched} searches)"
            if self.hit_ratio is not None
            else "nothing searched yet"
        )
        evaluated = (
            f"{self.evaluated_a_turn:,.0f} tokens a turn, last {self.evaluated_last:,}; "
            f"{self.cached_share or 0:.0%} came from the cache"
            if self.evaluated_a_turn is not None
            else "no turn counted yet"
        )
        return [
            f"Pages: {self.window_pages} in the window ({self.window_tokens:,} tokens; template and tools add "
            f"theirs), {self.swapped_pages} swapped out, "
            f"{count(self.summaries, 'summary', 'summaries')}",
            f"KV cache: {cache}",
            f"Evaluated: {evaluated}",
            f"Recall: {hits}; {count(self.recalled, 'page', 'pages')} back ({self.recalled_tokens:,} tokens), "
            f"{self.evicted} evicted",
        ]


def count(number: int, one: str, many: str) -> str:
    """A number with its word."""
    return f"{number:,} {one if number == 1 else many}"


def chat_figures(pager: Pager, chat_id: str, pages: Sequence[Page]) -> ChatFigures:
    """Figures of a chat whose pages (``host.window_pages``) are given."""
    window = [page for page in pages if page.where == "window"]
    sums = {name: int(value) for name, value in pager.store.turn_figures(chat_id).items() if name != "seconds"}
    counted, prompt, evaluated, last = pager.store.turn_tokens(chat_id)
    return ChatFigures(
        window_tokens=sum(page.tokens for page in window),
        context_size=pager.host.context_size,
        window_pages=len(window),
        swapped_pages=len(pages) - len(window),
        summaries=pager.store.count_summaries(chat_id),
        turns=sums["turns"],
        evicted=sums["evicted"],
        searched=sums["searched"],
        hits=sums["faults"],
        recalled=sums["recalled"],
        recalled_tokens=sums["recalled_tokens"],
        counted_turns=counted,
        prompt_tokens=prompt,
        evaluated_tokens=evaluated,
        evaluated_last=last,
        kv=pager.host.kv_state(chat_id),
    )


def size(count: int) -> str:
    """Bytes in words."""
    if count >= 1e9:
        return f"{count / 1e9:.1f} GB"
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"
