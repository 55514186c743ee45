"""A text exactly as it is, wrapped."""

from __future__ import annotations

from textual.content import Content

from llmos.tui.markdown.lines import BLANK, Line, wrap
from llmos.tui.widgets.blocks import TranscriptBlock


class PlainLines(TranscriptBlock):
    """No Markdown: what a page or a file holds."""

    kind = "text"

    def layout_lines(self, width: int) -> list[Line]:
        """Every line of the text."""
        lines: list[Line] = []
        for row in self.text.expandtabs(4).split("\n"):
            lines.extend(wrap(Content(row), width))
        return lines or [BLANK]
