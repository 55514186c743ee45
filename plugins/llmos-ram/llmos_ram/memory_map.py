"""The memory map: the window as coloured cells, what is swapped, summaries, memories, figures."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from llmos.plugins import Element
from llmos.types import Page, UserError
from llmos_ram.figures import ChatFigures, chat_figures, count
from llmos_ram.pager import Pager, when
from llmos_ram.summaries import by, span_of
from llmos_ram.trace import trace

#: Colour names of the face's theme, by what a page is.
_COLOURS = {
    "system": "secondary",
    "message": "primary",
    "tool_result": "warning",
    "passage": "accent",
    "memory": "success",
    "summary": "success",
}
#: Evictions and recalls that stay listed.
_KEPT = 6
#: Swapped pages and summaries in the tables: the last ones. ``ram show`` lists them all.
_ROWS = 200


def _cell(page: Page) -> dict[str, Any]:
    marks = ("*" if page.pinned else "") + ("!" if page.labels.tainted else "")
    recalled = page.kind == "message" and page.id != page.message_id
    colour = "accent" if recalled else _COLOURS.get(page.kind, "primary")
    if page.labels.tainted:
        colour = "error"
    key = f"page:{page.id}"
    return {
        "label": f"{marks}{'recalled' if recalled else page.kind}",
        "weight": max(1, page.tokens),
        "colour": colour,
        "key": key,
    }


class MemoryMap:
    """View and actions of the panel.

    Args:
        pager: gives the plugin's one pager.
        clock: the time of day, as it is shown beside what moved.
    """

    def __init__(
        self, pager: Callable[[], Pager], clock: Callable[[], str] = lambda: time.strftime("%H:%M:%S")
    ) -> None:
        self._pager = pager
        self._clock = clock
        self._chat = ""
        self._where: dict[str, str] = {}
        self._moved: deque[str] = deque(maxlen=_KEPT)
        self._opened = ""

    def elements(self) -> Sequence[Element]:
        """What the panel shows now."""
        pager = self._pager()
        chat_id = pager.last_chat
        if not chat_id:
            hint = Element("text", {"markdown": "Send a message: its window is drawn here, a cell a page."})
            return [hint, self._memories(pager), _actions()]
        pages = pager.host.window_pages(chat_id)
        self._watch(chat_id, pages)
        figures = chat_figures(pager, chat_id, pages)
        window = [page for page in pages if page.where == "window"]
        swapped = [page for page in pages if page.where == "swapped"]
        text = "\n".join(f"- {line}" for line in figures.lines())
        return [
            Element("cells", {"cells": [_cell(page) for page in window]}, "Window: ! untrusted, * pinned"),
            Element("progress", _window_bar(figures)),
            Element("text", {"markdown": text}, "Figures"),
            Element("text", {"markdown": self._open_page(pager, pages)}, "Opened page"),
            Element("text", {"markdown": self._lately()}, "Evictions and recalls"),
            Element("table", _page_table([*window, *swapped[-_ROWS:]]), "Pages"),
            Element("table", _summary_table(pager, chat_id), "Summaries"),
            self._memories(pager),
            _actions(),
        ]

    @staticmethod
    def _memories(pager: Pager) -> Element:
        kept = pager.store.memories()
        rows = [[one.row, when(one.created), "yes" if one.pinned else "", one.text] for one in kept]
        columns = ["no.", "kept", "pinned", "fact"]
        keys = [f"memory:{one.row}" for one in kept]
        return Element("table", {"columns": columns, "rows": rows, "keys": keys}, "Memories")

    # What moved since the last look.

    def _watch(self, chat_id: str, pages: Sequence[Page]) -> None:
        """Note what was evicted and brought since the last look."""
        now: dict[str, str] = {page.id: page.where for page in pages}
        if chat_id == self._chat:
            clock = self._clock()
            for page in pages:
                before = self._where.get(page.id)
                if before == "window" and page.where == "swapped":
                    self._moved.append(f"{clock} out, {page.tokens} tokens: {_line(page.text)}")
                elif before is None and page.where == "window" and page.id != page.message_id and page.reason:
                    self._moved.append(f"{clock} in, {page.tokens} tokens: {_line(page.text)}")
        else:
            self._chat, self._opened = chat_id, ""
            self._moved.clear()
        self._where = now

    def _lately(self) -> str:
        return "\n".join(f"    {line}" for line in reversed(self._moved)) or "None since this map was opened."

    def _open_page(self, pager: Pager, pages: Sequence[Page]) -> str:
        """The text of the opened page or summary, its labels and why it is here."""
        kind, _, key = self._opened.partition(":")
        if kind == "summary":
            for one in pager.store.summaries(self._chat, [int(key)]):
                texts = pager.store.pages(one.pages)
                said = [f"{texts[row].role}: {texts[row].text}" for row in one.pages if row in texts]
                of = count(len(said), "page", "pages")
                head = f"Summary {one.row} of {of}, {span_of(one)}, {by(one)}; {_labels(one.labels)}."
                return f"{head}\n\n{_quoted(one.text)}\n\nIts pages:\n\n{_quoted(chr(10).join(said))}"
        page = next((page for page in pages if page.id == key), None) if kind == "page" else None
        if page is None:
            return "Choose a page with Enter to read it here."
        head = f"{page.kind}, {page.tokens} tokens, {page.where}, {_labels(page.labels)}"
        head += f"; {page.source}." if page.source else "."
        return f"{head} {' '.join(trace(page, pages))}\n\n{_quoted(page.text)}"

    # What the user does.

    def act(self, action: str, value: Any) -> str | None:
        """An action of the user on the selected row: ``page:ID``, ``summary:ROW`` or ``memory:ROW``."""
        pager = self._pager()
        kind, _, key = str(value or "").partition(":")
        if action == "select" and kind in ("page", "summary"):
            self._opened = "" if self._opened == value else str(value)
            return None
        if kind == "memory" and key.isdigit():
            return self._on_memory(pager, action, int(key))
        if kind == "summary" and key.isdigit() and action == "forget":
            gone = pager.store.forget_summary(int(key))
            return f"Summary {key} is forgotten; its pages stay." if gone else "That summary is gone."
        if kind == "page" and pager.last_chat:
            try:
                done = self._on_page(pager, action, key)
            except UserError as error:  # an answer is being written
                return str(error)
            if done is not None:
                return done
        return "Select a page, a summary or a memory first."

    @staticmethod
    def _on_memory(pager: Pager, action: str, row: int) -> str | None:
        memory = next((one for one in pager.store.memories() if one.row == row), None)
        if memory is None:
            return "That memory is gone."
        if action == "pin":
            pager.store.pin_memory(memory.row, not memory.pinned)
            return f"Memory {memory.row} is {'no longer' if memory.pinned else 'now'} pinned."
        if action == "forget":
            pager.store.forget_memory(memory.row)
            return f"Forgotten: {memory.text}"
        return None

    @staticmethod
    def _on_page(pager: Pager, action: str, key: str) -> str | None:
        page = next((one for one in pager.host.window_pages(pager.last_chat) if one.id == key), None)
        if page is None:
            return "That page is gone."
        if action == "pin":
            pager.host.pin_page(pager.last_chat, page.id, not page.pinned)
            return f"The page is {'no longer' if page.pinned else 'now'} pinned."
        if action == "evict":
            gone = page.where == "window" and pager.host.evict_page(pager.last_chat, page.id)
            return (
                "The page left the window."
                if gone
                else "That page cannot leave: it is pinned or not in the window."
            )
        return None


def _actions() -> Element:
    return Element(
        "actions",
        {
            "actions": [
                {"id": "pin", "label": "Pin or unpin", "key": "p"},
                {"id": "evict", "label": "Evict page", "key": "e"},
                {"id": "forget", "label": "Forget", "key": "delete"},
            ]
        },
    )


def _window_bar(figures: ChatFigures) -> dict[str, Any]:
    return {"done": figures.used_tokens, "total": max(figures.context_size, 1), "text": "tokens"}


def _page_table(pages: Sequence[Page]) -> dict[str, Any]:
    rows = [
        [
            page.where,
            page.tokens,
            page.kind,
            page.text[:60],
            page.reason,
            ", ".join(sorted(page.labels.origins)),
        ]
        for page in pages
    ]
    columns = ["where", "tokens", "kind", "text", "why", "origin"]
    return {"columns": columns, "rows": rows, "keys": [f"page:{page.id}" for page in pages]}


def _summary_table(pager: Pager, chat_id: str) -> dict[str, Any]:
    found = pager.store.latest_summaries(chat_id, _ROWS)
    rows = [[one.row, len(one.pages), one.text, span_of(one), by(one), _labels(one.labels)] for one in found]
    columns = ["no.", "pages", "text", "said", "made", "labels"]
    return {"columns": columns, "rows": rows, "keys": [f"summary:{one.row}" for one in found]}


def _labels(labels: Any) -> str:
    origins = ", ".join(sorted(labels.origins))
    return f"{labels.integrity.value} and {labels.confidentiality.value}, from {origins}"


def _quoted(text: str) -> str:
    """A text as it stands: what looks like Markdown in it is not."""
    return "\n".join(f"    {line}" for line in text.splitlines())


def _line(text: str, most: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"
