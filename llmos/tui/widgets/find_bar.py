"""The search field of a chat, above the prompt."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Input, Static


class FindBar(Horizontal):
    """A label and a field."""

    DEFAULT_CSS = """
    FindBar {
        height: 1;
        margin: 0 2;
    }
    #find-label {
        width: auto;
        color: $text-muted;
    }
    #find-input {
        width: 1fr;
    }
    """

    def compose(self) -> ComposeResult:
        """Label and field."""
        yield Static("find ", id="find-label")
        yield Input(id="find-input", compact=True)
