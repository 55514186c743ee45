"""The mark that something new is out of sight."""

from __future__ import annotations

from textual.content import Content
from textual.message import Message as TextualMessage
from textual.widget import Widget


class NewBelow(Widget):
    """One row; a click goes to the end."""

    DEFAULT_CSS = """
    NewBelow {
        display: none;
        height: 1;
        color: $text-accent;
        text-align: center;
    }
    NewBelow.-shown {
        display: block;
    }
    """

    class Clicked(TextualMessage):
        """To the end, please."""

    def render(self) -> Content:
        """The mark and its key."""
        return Content("▼ new below (Ctrl+End)")

    def on_click(self) -> None:
        """To the end."""
        self.post_message(self.Clicked())
