"""The memory map: the window as coloured cells, what is swapped, memories, figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llmos.plugins import Element
from llmos.types import Page
from llmos_ram.pager import Pager, when

#: Colour names of the face's theme, by what a page is.
_COLOURS = {
    "system": "secondary",
    "message": "primary",
    "tool_result": "warning",
    "passage": "accent",
    "memory": "success",
    "summary": "success",
}


def _cell(page: Page) -> dict[str, Any]:
    marks = ("*" if page.pinned else "") + ("!" if page.labels.tainted else "")
    colour = "error" if page.labels.tainted else _COLOURS.get(page.kind, "primary")
    return {"label": f"{marks}{page.kind}", "weight": max(1, page.tokens), "colour": colour, "key": page.id}


class MemoryMap:
    """View and actions of the panel; ``pager`` gives the plugin's one pager."""

    def __init__(self, pager: Callable[[], Pager]) -> None:
        self._pager = pager

    def elements(self) -> Sequence[Element]:
        """What the panel shows now."""
        pager = self._pager()
        chat_id = pager.last_chat
        memories = pager.store.memories()
        memory_table = Element(
            "table",
            {
                "columns": ["no.", "kept", "pinned", "fact"],
                "rows": [
                    [one.row, when(one.created), "yes" if one.pinned else "", one.text] for one in memories
                ],
                "keys": [f"memory:{one.row}" for one in memories],
            },
            "Memories",
        )
        actions = Element(
            "actions",
            {
                "actions": [
                    {"id": "pin", "label": "Pin or unpin", "key": "p"},
                    {"id": "forget", "label": "Forget memory", "key": "delete"},
                ]
            },
        )
        if not chat_id:
            hint = Element("text", {"markdown": "Send a message: its window is drawn here, a cell a page."})
            return [hint, memory_table, actions]
        pages = pager.host.window_pages(chat_id)
        window = [page for page in pages if page.where == "window"]
        swapped = [page for page in pages if page.where == "swapped"]
        used, size = sum(page.tokens for page in window), pager.host.context_size
        figures = pager.store.turn_figures(chat_id)
        turns = int(figures["turns"])
        searched = int(figures["searched"])
        hit = f"{figures['faults'] / searched:.0%}" if searched else "none searched yet"
        text = (
            f"**{used} of {size} tokens** in {len(window)} pages; {len(swapped)} pages are swapped out. "
            f"{turns} turns, {int(figures['evicted'])} evictions, {int(figures['recalled'])} pages recalled "
            f"({int(figures['recalled_tokens'])} tokens); turns with something recalled: {hit}. "
            "`!` untrusted, `*` pinned."
        )
        rows = [
            [
                page.where,
                page.tokens,
                page.kind,
                ", ".join(sorted(page.labels.origins)),
                page.reason,
                page.text[:80],
            ]
            for page in pages
        ]
        return [
            Element("text", {"markdown": text}),
            Element("progress", {"done": used, "total": max(size, 1), "text": "window"}, "Context window"),
            Element("cells", {"cells": [_cell(page) for page in window]}, "Pages in the window, by tokens"),
            Element(
                "table",
                {
                    "columns": ["where", "tokens", "kind", "origin", "why", "text"],
                    "rows": rows,
                    "keys": [f"page:{page.id}" for page in pages],
                },
                "Pages",
            ),
            memory_table,
            actions,
        ]

    def act(self, action: str, value: Any) -> str | None:
        """An action of the user on the selected row, ``page:ID`` or ``memory:ROW``."""
        pager = self._pager()
        kind, _, key = str(value or "").partition(":")
        if kind == "memory" and key.isdigit():
            memory = next((one for one in pager.store.memories() if one.row == int(key)), None)
            if memory is None:
                return "That memory is gone."
            if action == "pin":
                pager.store.pin_memory(memory.row, not memory.pinned)
                return f"Memory {memory.row} is {'no longer' if memory.pinned else 'now'} pinned."
            if action == "forget":
                pager.store.forget_memory(memory.row)
                return f"Forgotten: {memory.text}"
        if kind == "page" and action == "pin" and pager.last_chat:
            page = next((one for one in pager.host.window_pages(pager.last_chat) if one.id == key), None)
            if page is None:
                return "That page is gone."
            pager.host.pin_page(pager.last_chat, page.id, not page.pinned)
            return f"The page is {'no longer' if page.pinned else 'now'} pinned."
        return "Select a page or a memory first."
