"""``NO_COLOR``: no colour is sent at all, not even greys; what only a ground marked is reversed."""

from __future__ import annotations

from functools import lru_cache

from rich.color import Color as RichColor
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter

#: A ground whose brightness (0 to 1) differs so much from the screen's is a mark: a chosen line.
MARK = 0.1


class NoColour(LineFilter):
    """Takes colours out of every segment."""

    def __init__(self, ground: Color) -> None:
        super().__init__()
        self.ground = ground

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The same segments in the terminal's own two colours."""
        ground = (self.ground.r, self.ground.g, self.ground.b)
        return [Segment(text, _bare(style, ground), control) for text, style, control in segments]


@lru_cache(2048)
def _bare(style: Style | None, ground: tuple[int, int, int]) -> Style | None:
    if style is None:
        return None
    marked = False
    if style.bgcolor is not None and style.bgcolor.type.name != "DEFAULT":
        own = Color.from_rich_color(style.bgcolor)
        marked = abs(own.brightness - Color(*ground).brightness) >= MARK
    default = RichColor.default()
    plain = Style(
        bold=style.bold,
        italic=style.italic,
        underline=style.underline,
        strike=style.strike,
        reverse=bool(style.reverse) != marked,
        link=style.link,
        meta=style.meta or None,
    )
    return plain + Style.from_color(default, default)
