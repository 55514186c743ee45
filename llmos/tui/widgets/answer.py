"""The model's answer: one widget, streamed in while it is written, cached when it is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from textual.content import Content

from llmos.tui.markdown.lines import BLANK, Line, wrap
from llmos.tui.widgets.blocks import TranscriptBlock
from llmos.wording import counted

if TYPE_CHECKING:
    from llmos.types import Mark, Message, Page


#: Rows that a growing answer reserves at a time.
GROWTH = 4

_STATUS_LINES = {
    "stopped": "Stopped; what came before is kept.",
    "crashed": "The kernel died in mid-answer; what came before is kept.",
    "partial": "The program ended in mid-answer; what came before is kept.",
    "error": "The answer ended with an error; what came before is kept.",
}


class AnswerBlock(TranscriptBlock):
    """An answer in Markdown with its citations and figures below."""

    kind = "answer"

    def __init__(self, message: Message | None = None, *, message_id: str = "") -> None:
        text = message.content if message is not None else ""
        super().__init__(text, message_id=message.id if message is not None else message_id)
        self.done = message is not None
        self.status = message.status if message is not None else "partial"
        self.stats: Mapping[str, Any] = message.stats if message is not None else {}
        self.citations: dict[int, Page] = {}
        self.marks: list[Mark] = marks_of(self.stats)
        self.branch = ""
        self.waiting = "" if self.done else "…"
        self._stream: Any = None

    def layout_lines(self, width: int) -> list[Line]:
        """The text, then citations, then figures."""
        if self.done:
            from llmos.tui.markdown.layout import render

            self._stream = None
            text = self.text
            if self.marks:
                from llmos.tui.markdown.inline import marked

                text = marked(text, [(mark.start, mark.text) for mark in self.marks])
            lines = render(text, width)
            return [*lines, *self._foot(width, bool(lines))] or [BLANK]
        if not self.text:
            return wrap(Content.styled(self.waiting or "…", "$text-muted"), width)
        from llmos.tui.markdown.stream import StreamRenderer

        if self._stream is None or self._stream.width != max(width, 4):
            self._stream = StreamRenderer(width)
        lines, _ = self._stream.update(self.text)
        return lines or [BLANK]

    def rows(self) -> int:
        """While it is written, whole steps of rows: the screen is laid out a quarter as often."""
        count = super().rows()
        return count if self.done or not self.text else -(-count // GROWTH) * GROWTH

    def append(self, text: str) -> None:
        """More text; call it a dozen times a second at most."""
        self.text += text
        self.content_changed()

    def set_waiting(self, text: str) -> None:
        """What is shown before the first word, such as reading progress."""
        if not self.text and text != self.waiting:
            self.waiting = text
            self.content_changed()

    def finish(self, message: Message, stats: Mapping[str, Any] | None = None) -> None:
        """The answer is stored: draw it whole, with its figures."""
        self.text = message.content
        self.message_id = message.id
        self.done = True
        self.status = message.status
        self.stats = stats if stats is not None else message.stats
        self.content_changed()

    def cite(self, number: int, page: Page) -> None:
        """The answer cited a page."""
        self.citations[number] = page
        if self.done:
            self.relayout()

    def mark(self, mark: Mark) -> None:
        """A plugin remarked on a part of the answer; drawn when the answer is done."""
        self.marks.append(mark)
        if self.done:
            self.relayout()

    def set_branch(self, branch: str) -> None:
        """Show ``2/3`` where the answer has siblings."""
        if branch != self.branch:
            self.branch = branch
            self.relayout()

    def _foot(self, width: int, any_text: bool) -> list[Line]:
        lines: list[Line] = []
        for number, page in sorted(self.citations.items()):
            where = page.source or next(iter(page.labels.origins), "")
            heading = f" > {page.heading}" if page.heading else ""
            line = Content.assemble((f"[{number}] ", "$text-accent"), (f"{where}{heading}", "$text-muted"))
            lines.extend(wrap(line, width))
        for note in dict.fromkeys(mark.note for mark in self.marks):
            line = Content.assemble(("[?] ", "$text-warning"), (note, "$text-muted"))
            lines.extend(wrap(line, width))
        if self.status in _STATUS_LINES:
            lines.extend(wrap(Content.styled(_STATUS_LINES[self.status], "$text-warning"), width))
        figures = " · ".join(part for part in (self.branch, stats_line(self.stats)) if part)
        if figures:
            lines.extend(wrap(Content.styled(figures, "$text-muted"), width))
        # Figures are no part of the text: nothing of them is copied with a selection of it.
        marked = [Line(line.content, line.joint, line.lead) for line in lines]
        return [BLANK, *marked] if any_text and marked else marked


def marks_of(stats: Mapping[str, Any]) -> list[Mark]:
    """Marks that are stored with an answer; what is not of their form is left out."""
    rows = stats.get("marks")
    if not isinstance(rows, list):
        return []
    from llmos.guard.clean import clean
    from llmos.types import Mark

    return [
        Mark(int(row["start"]), int(row["end"]), clean(row["text"]), clean(str(row.get("note", ""))))
        for row in rows
        if isinstance(row, dict) and isinstance(row.get("text"), str) and "start" in row and "end" in row
    ]


def stats_line(stats: Mapping[str, Any]) -> str:
    """Figures of an answer in one line: tokens, speed, time to the first token, cached share."""
    parts: list[str] = []
    tokens = stats.get("completion_tokens")
    if tokens:
        parts.append(counted(tokens, "token"))
    speed = stats.get("tokens_per_second")
    if speed:
        parts.append(f"{speed:.0f} tokens/s" if speed >= 10 else f"{speed:.1f} tokens/s")
    first = stats.get("first_token_seconds")
    if first:
        parts.append(f"first after {first:.2f} s")
    prompt, cached = stats.get("prompt_tokens"), stats.get("cached_tokens")
    if prompt:
        parts.append(f"prompt {prompt}, {100 * (cached or 0) / prompt:.0f}% cached")
    return " · ".join(parts)
