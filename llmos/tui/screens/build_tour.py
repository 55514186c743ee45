"""The tour's bar on the Build tab: one sentence, and Enter goes on."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message as TextualMessage
from textual.widgets import Static


class TourBar(Static, can_focus=True):
    """Says what comes; hidden while there is no tour."""

    DEFAULT_CSS = """
    TourBar { height: auto; max-height: 3; padding: 0 1; background: $primary 20%; display: none; }
    TourBar.-on { display: block; }
    TourBar:focus { background: $primary 40%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,space", "go_on", "Go on")]

    class GoOn(TextualMessage):
        """The user wants the next thing."""

    def __init__(self) -> None:
        super().__init__("", id="tour", markup=False)

    def say(self, text: str) -> None:
        """Show a sentence; an empty one hides the bar."""
        self.update(text)
        self.set_class(bool(text), "-on")

    def action_go_on(self) -> None:
        """Enter or space."""
        self.post_message(self.GoOn())

    def on_click(self, event: events.Click) -> None:
        """A click goes on too."""
        event.stop()
        self.post_message(self.GoOn())
