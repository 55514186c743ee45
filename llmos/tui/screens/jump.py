"""Jump mode: a letter on every part of the screen that can have the focus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import events
from textual.app import ComposeResult
from textual.geometry import Offset
from textual.widget import Widget
from textual.widgets import Static

from llmos.tui.screens.modal import Modal

if TYPE_CHECKING:
    from llmos.tui.app import LlmosApp

LETTERS = "asdfghjklqwertyuiopzxcvbnm"


class Jump(Modal[str | None]):
    """Shows letters; the one that is pressed is the answer, any other key leaves."""

    CSS_PATH = "jump.tcss"

    def __init__(self, places: dict[str, Offset]) -> None:
        super().__init__()
        self._places = places

    def compose(self) -> ComposeResult:
        """A mark for every place."""
        for letter, offset in self._places.items():
            mark = Static(f" {letter} ", classes="jump-mark", markup=False)
            mark.styles.offset = (offset.x, offset.y)
            yield mark

    def on_key(self, event: events.Key) -> None:
        """Choose or leave."""
        event.stop()
        self.dismiss(event.key if event.key in self._places else None)


def open_jump(face: LlmosApp) -> None:
    """Let the user choose a place and put the focus there."""
    targets: dict[str, Widget] = {}
    places: dict[str, Offset] = {}
    widgets = [widget for widget in face.screen.focus_chain if widget.region]
    for letter, widget in zip(LETTERS, widgets, strict=False):
        targets[letter] = widget
        places[letter] = widget.region.offset

    def go(letter: str | None) -> None:
        if letter is not None:
            targets[letter].focus()

    face.push_screen(Jump(places), go)
