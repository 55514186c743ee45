"""What is stored with the answers of one turn: the pages they cite, remarks on them, their figures."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from llmos.conversation.window import Window
from llmos.types import Citation, Event, Message, MessageStatus, Page, TurnDone

_CITED = re.compile(r"\[(\d{1,4})\]")
#: How much of the end of a text may be the beginning of a citation.
_TAIL = 6

#: Most tool calls of one generation that are run.
CALLS_AT_ONCE = 8


class AnswerRecord:
    """Grows over all generations of a turn.

    Args:
        window: whose pages can be cited.
        emit: takes the events.

    Attributes:
        marks: remarks of plugins on the answer that is stored next.
    """

    def __init__(self, window: Window, emit: Callable[[Event], None]) -> None:
        self.marks: list[dict[str, Any]] = []
        self._window = window
        self._emit = emit
        self._cited: dict[int, Page] = {}
        self._prompt_tokens = 0
        self._cached_tokens = 0

    def cite(self, text: str) -> str:
        """Tell of pages that the text cites and were not told yet; returns the end to go on from."""
        if "]" in text:
            for found in _CITED.finditer(text):
                number = int(found[1])
                page = self._window.cited(number) if number not in self._cited else None
                if page is not None:
                    self._cited[number] = page
                    self._emit(Citation(number, page))
        return text[-_TAIL:]

    def stored(self, answer: Message, result: TurnDone, status: MessageStatus) -> Message:
        """The answer as it is kept.

        Args:
            answer: with id, place in the chat and labels, still empty.
            result: what the generator finished with.
            status: how it ended.
        """
        made = result.message
        return replace(
            answer,
            content=made.content,
            thinking=made.thinking,
            tool_calls=made.tool_calls[:CALLS_AT_ONCE],
            labels=answer.labels.join(made.labels) if made.labels.tainted else answer.labels,
            status=status,
            stats=self._stats(result),
        )

    def _stats(self, result: TurnDone) -> dict[str, Any]:
        stats = dict(result.message.stats)
        if result.stats is not None:
            stats |= asdict(result.stats)
            self._prompt_tokens += result.stats.prompt_tokens
            self._cached_tokens += result.stats.cached_tokens
            stats["turn_prompt_tokens"] = self._prompt_tokens
            stats["turn_cached_tokens"] = self._cached_tokens
        if self._cited:
            stats["citations"] = [
                {"number": n, "page_id": c.id, "source": c.source, "heading": c.heading,
                 "location": dict(c.location)}
                for n, c in sorted(self._cited.items())
            ]  # fmt: skip
        if self.marks:
            stats["marks"], self.marks = self.marks, []
        return stats
