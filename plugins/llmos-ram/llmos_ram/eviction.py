"""Which pages leave the window first: small talk, then questions and their answers, then facts."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from llmos.plugins.hookspecs import EVICT_ONLY_IF_NEEDED
from llmos.types import Page
from llmos_ram.words import about, is_question, is_small_talk

#: Pages of these kinds are brought again when needed, so they go before what was said.
_BROUGHT = frozenset({"passage", "memory", "tool_result", "summary"})


def worth(page: Page) -> int:
    """How much a page is worth keeping: 0 small talk … 4 a fact that the user told."""
    if page.kind in _BROUGHT or (page.message_id and page.message_id != page.id):
        return 1
    if is_small_talk(page.text):
        return 0
    if page.role == "assistant":
        return 2
    if is_question(page.text):
        return 2
    return 4


def eviction_order(window: Sequence[Page], recent: int = 5, wanted: Collection[str] = ()) -> list[str]:
    """Ids of pages in the order in which to evict them.

    Args:
        window: pages in the window, oldest first.
        recent: the last messages of the dialogue go last, whatever they are: the answer refers to them.
        wanted: ids of pages that the user's text calls for; they would have to come back at once.

    The recent and the wanted ones stand behind ``EVICT_ONLY_IF_NEEDED``: they never leave for the
    sake of free room. Pinned pages and the system prompt are not in the list.
    """
    movable = [page for page in window if not page.pinned and page.kind != "system"]
    said = [page.id for page in movable if not page.message_id or page.message_id == page.id]
    kept_back = set(said[len(said) - recent :]) if recent else set()
    needed = _with_messages(window, wanted)
    late = {page.id: 1 + (page.id in needed) for page in movable if page.id in kept_back or page.id in needed}
    value = {page.id: worth(page) for page in movable}
    value.update(dict.fromkeys(_superseded([page for page in movable if value[page.id] == 4]), 0))
    ranked = [
        page.id
        for _, page in sorted(
            enumerate(movable), key=lambda item: (late.get(item[1].id, 0), value[item[1].id], item[0])
        )
    ]
    return [*ranked[: len(ranked) - len(late)], EVICT_ONLY_IF_NEEDED, *ranked[len(ranked) - len(late) :]]


def _with_messages(window: Sequence[Page], wanted: Collection[str]) -> set[str]:
    """Those pages and, where they were brought for a message, that message: it would take them along."""
    found: set[str] = set()
    brought = False
    for page in window:
        if page.id in wanted:
            found.add(page.id)
        if page.id in wanted and page.message_id != page.id:
            brought = True
        elif page.message_id == page.id:
            if brought:
                found.add(page.id)
            brought = False
    return found


def _superseded(facts: Sequence[Page]) -> set[str]:
    """Ids of what the user told of a thing before telling it anew."""
    newer: set[frozenset[str]] = set()
    old: set[str] = set()
    for page in reversed(facts):
        subject, _ = about(page.text)
        if subject in newer:
            old.add(page.id)
        elif len(subject) > 1:
            newer.add(subject)
    return old
