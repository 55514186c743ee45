"""A value on a line that the arrow keys and the mouse move."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message as TextualMessage
from textual.widget import Widget

#: Cells of the label, of the value, and of the bar at most and at least.
_LABEL, _VALUE, _BAR, _LEAST = 14, 4, 20, 4


class Slider(Widget, can_focus=True):
    """A labelled slider.

    Args:
        name: id of the value.
        label: what it says.
        value: at first.
        low: smallest value.
        high: largest value.
        step: what one key press changes.
        names: what each value from 0 on is called; empty shows the number.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,minus", "move(-1)", "Less"),
        Binding("right,plus", "move(1)", "More"),
        Binding("home", "move(-1000000)", "Least"),
        Binding("end", "move(1000000)", "Most"),
    ]

    class Changed(TextualMessage):
        """The value was moved."""

        def __init__(self, slider: Slider, value: float) -> None:
            super().__init__()
            self.slider = slider
            self.value = value

    def __init__(
        self,
        name: str,
        label: str,
        value: float,
        low: float,
        high: float,
        step: float,
        names: Sequence[str] = (),
    ) -> None:
        super().__init__(name=name)
        self._names = tuple(names)
        self._label, self.value = label, float(value)
        self._low, self._high, self._step = low, high, step

    def render(self) -> Content:
        """Label, bar and value; the bar is as long as there is room."""
        said = self._names[int(self.value)] if self._names else f"{self.value:g}"
        span, length = (self._high - self._low) or 1.0, self._length(said)
        place = round((self.value - self._low) / span * (length - 1))
        bar = "━" * place + "●" + "─" * (length - 1 - place)
        return Content(f"{self._label:>{_LABEL}} {bar} {said}")

    def _length(self, said: str) -> int:
        """Cells of the bar beside label and value."""
        room = self.size.width - max(_LABEL, len(self._label)) - 2 - max(_VALUE, len(said))
        return max(_LEAST, min(_BAR, room)) if self.size.width else _BAR

    def action_move(self, steps: int) -> None:
        """Move by so many steps."""
        self.set_value(self.value + steps * self._step)

    def set_value(self, value: float) -> None:
        """Set the value, rounded to a step and within the bounds; tells when it changed."""
        steps = round((value - self._low) / self._step) if self._step else 0
        new = round(min(self._high, max(self._low, self._low + steps * self._step)), 6)
        if new != self.value:
            self.value = new
            self.refresh()
            self.post_message(self.Changed(self, new))

    def on_click(self, event: events.Click) -> None:
        """A click on the bar sets the value."""
        said = self._names[int(self.value)] if self._names else f"{self.value:g}"
        length, place = self._length(said), event.x - max(_LABEL, len(self._label)) - 1
        if 0 <= place < length:
            self.set_value(self._low + place / (length - 1) * (self._high - self._low))
