"""One line of text from the user: a name, a path, tags."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static, TextArea

from llmos.tui.screens.modal import Modal


class Ask(Modal[str | None]):
    """A field with a title; Enter accepts, Esc leaves."""

    CSS_PATH = "picker.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Leave")]

    def __init__(self, title: str, value: str = "") -> None:
        super().__init__()
        self._title = title
        self._value = value

    def compose(self) -> ComposeResult:
        """Title and field."""
        with Vertical(id="picker"):
            yield Static(self._title, id="picker-title", markup=False)
            yield Input(self._value, id="picker-input", compact=True)

    def on_mount(self) -> None:
        """Focus the field."""
        self.query_one("#picker-input").focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Accept."""
        event.stop()
        self.dismiss(event.value)

    def action_leave(self) -> None:
        """Leave without a value."""
        self.dismiss(None)


class AskText(Modal[str | None]):
    """A field of several lines; Ctrl+J or F10 accepts, Esc leaves."""

    CSS_PATH = "picker.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Leave", priority=True),
        Binding("ctrl+j,f10", "accept", "Accept", priority=True),
    ]

    def __init__(self, title: str, value: str = "") -> None:
        super().__init__()
        self._title = title
        self._value = value

    def compose(self) -> ComposeResult:
        """Title and field."""
        with Vertical(id="picker"):
            yield Static(f"{self._title}  (Ctrl+J accepts)", id="picker-title", markup=False)
            yield TextArea(self._value, id="picker-text", compact=True)

    def on_mount(self) -> None:
        """Focus the field."""
        self.query_one("#picker-text").focus()

    def action_accept(self) -> None:
        """Accept."""
        self.dismiss(self.query_one("#picker-text", TextArea).text)

    def action_leave(self) -> None:
        """Leave without a value."""
        self.dismiss(None)
