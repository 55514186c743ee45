"""Which pages leave the window first: small talk, then questions and their answers, then facts."""

from __future__ import annotations

from collections.abc import Sequence

from llmos.types import Page
from llmos_ram.words import is_question, is_small_talk

#: Pages of these kinds are brought again when needed, so they go before what was said.
_BROUGHT = frozenset({"passage", "memory", "tool_result", "summary"})


def worth(page: Page) -> int:
    """How much a page is worth keeping: 0 small talk … 4 a fact that the user told."""
    if page.kind in _BROUGHT:
        return 1
    if is_small_talk(page.text):
        return 0
    if page.role == "assistant":
        return 2
    if is_question(page.text):
        return 2
    return 4


def eviction_order(window: Sequence[Page], recent: int = 4) -> list[str]:
    """Ids of pages in the order in which to evict them.

    Args:
        window: pages in the window, oldest first.
        recent: the last pages of the dialogue go last, whatever they are: the answer refers to them.

    Pinned pages and the system prompt are not in the list.
    """
    movable = [page for page in window if not page.pinned and page.kind != "system"]
    kept_back = {page.id for page in movable[len(movable) - recent :]} if recent else set()
    ranked = sorted(enumerate(movable), key=lambda item: (item[1].id in kept_back, worth(item[1]), item[0]))
    return [page.id for _, page in ranked]
