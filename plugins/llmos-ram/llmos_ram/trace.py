"""Why a page is where it is: what brought it, for which message, and what they share."""

from __future__ import annotations

from collections.abc import Sequence

from llmos.types import Page
from llmos_ram.words import content_words


def trace(page: Page, pages: Sequence[Page]) -> list[str]:
    """Lines on how a page came to where it is.

    Args:
        page: one of ``pages``.
        pages: all pages of the chat, those of the window in reading order.
    """
    lines = [page.reason[:1].upper() + page.reason[1:] + "."] if page.reason else []
    own = bool(page.message_id) and page.id == page.message_id
    if own and not lines:
        lines.append("It was said here and has not left yet." if page.where == "window" else "")
    if page.where == "swapped":
        lines.append("It left the window in an eviction; recall can bring it back.")
    if page.pinned:
        lines.append("It is pinned: it never leaves.")
    if page.where == "window" and not own and page.kind != "system":
        asked = _asked_by(page, pages)
        if asked is not None:
            lines.append(f"It was brought for the message “{_short(asked.text)}”.")
            shared = sorted(set(content_words(asked.text)) & set(content_words(page.text)))
            lines.append(
                f"They share the words {', '.join(shared)}." if shared else "They share no word: meaning alone."
            )
    return [line for line in lines if line]


def _asked_by(page: Page, pages: Sequence[Page]) -> Page | None:
    """The user's message that a brought page stands before."""
    place = next((at for at, one in enumerate(pages) if one.id == page.id), None)
    if place is None:
        return None
    for one in pages[place + 1 :]:
        if one.where == "window" and one.role == "user" and one.id == one.message_id:
            return one
    return None


def _short(text: str, most: int = 80) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"
