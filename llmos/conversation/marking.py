"""Marks of plugins on an answer: asked for at the end of each sentence, and once more at the end."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from llmos.conversation.ports import Plugins
from llmos.plugins.contributions import Turn
from llmos.types import AnswerMarked, Event, Mark

#: The end of a sentence or line, with its citations, at the end of a text.
_ENDED = re.compile(r"(?:[.!?][\"')\]]*(?:\s*\[\d+\])*|\n)\s*$")
#: How much of the end of the text is looked at.
_TAIL = 80


class Marking:
    """Collects the marks on one answer and tells of new ones as they come.

    Args:
        plugins: are asked.
        turn: the turn with a text as its answer; None where there is nothing to compare with, and
            then nothing is asked.
        emit: takes the events.
    """

    def __init__(
        self, plugins: Plugins, turn: Callable[[str], Turn] | None, emit: Callable[[Event], None]
    ) -> None:
        self._plugins = plugins
        self._turn = turn
        self._emit = emit
        self._text = ""
        self._told: set[tuple[int, int, str]] = set()

    async def before(self, delta: str) -> None:
        """Text comes; if it begins a new sentence, the marks on those before are told first."""
        if self._turn is None:
            return
        begins = delta.strip()[:1]
        if begins and begins != "[" and _ENDED.search(self._text[-_TAIL:]):
            await self._ask(self._text)
        self._text += delta

    async def finish(self, text: str) -> list[dict[str, Any]]:
        """The answer stands; returns its marks as they are stored, of those on other texts none."""
        if self._turn is None or not text.strip():
            return []
        return [
            {"start": mark.start, "end": mark.end, "text": mark.text, "note": mark.note, "kind": mark.kind,
             "plugin": mark.plugin}
            for mark in await self._ask(text)
        ]  # fmt: skip

    async def _ask(self, text: str) -> list[Mark]:
        assert self._turn is not None
        marks = await self._plugins.marks(self._turn(text))
        for mark in marks:
            key = (mark.start, mark.end, mark.kind)
            if key not in self._told:
                self._told.add(key)
                self._emit(AnswerMarked(mark))
        return marks
