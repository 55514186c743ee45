"""A text to read: a cited page, a help page, a result; scrolls, can be copied."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Static

from llmos.tui.clipboard import copy
from llmos.tui.screens.modal import Modal
from llmos.tui.widgets.blocks import MarkdownBlock, TranscriptBlock
from llmos.tui.widgets.plain_lines import PlainLines


class Reader(Modal[None]):
    """Title, text, where it is from.

    Args:
        title: first line.
        text: the text, already clean.
        where: last line.
        markdown: draw the text as Markdown; else as it is.
    """

    CSS_PATH = "reader.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "leave", "Leave"),
        Binding("c", "copy", "Copy"),
    ]

    def __init__(self, title: str, text: str, where: str = "", *, markdown: bool = False) -> None:
        super().__init__()
        self._title = title
        self._text = text
        self._where = where
        self._markdown = markdown

    def compose(self) -> ComposeResult:
        """Title, scrolling text, origin and keys."""
        with Vertical(id="reader"):
            yield Static(self._title, id="reader-title", markup=False)
            with VerticalScroll(id="reader-body"):
                body: TranscriptBlock = MarkdownBlock(self._text) if self._markdown else PlainLines(self._text)
                yield body
            foot = "  ".join(part for part in (self._where, "c copy  Esc back") if part)
            yield Static(foot, id="reader-foot", markup=False)

    def on_mount(self) -> None:
        """Scroll with the keys."""
        self.query_one("#reader-body").focus()

    def action_copy(self) -> None:
        """Copy the text."""
        copy(self.app, self._text)
        self.query_one("#reader-foot", Static).update("Copied.")

    def action_leave(self) -> None:
        """Back."""
        self.dismiss()
