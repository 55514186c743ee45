"""Markdown that is still being written.

Blocks (and the items of the last list) that no later text can change are laid out once and
frozen; each chunk lays out only what is behind them. What is frozen is decided from complete
lines alone: a half line can still turn into anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmos.tui.markdown.layout import Layout, list_start
from llmos.tui.markdown.lines import BLANK, Line
from llmos.tui.markdown.parse import block_tokens, top_level

if TYPE_CHECKING:
    from markdown_it.token import Token


@dataclass(frozen=True, slots=True)
class _OpenList:
    """A list whose first items are frozen: how it goes on."""

    kind: str
    markup: str
    next_number: int


class StreamRenderer:
    """The lines of a growing text."""

    def __init__(self, width: int) -> None:
        self._layout = Layout(width)
        self._text = ""
        self._frozen: list[Line] = []
        self._start = 0
        self._looked_to = 0
        self._open_list: _OpenList | None = None
        self._definitions = 0

    @property
    def width(self) -> int:
        """Cells that it lays out for."""
        return self._layout.width

    def update(self, text: str) -> tuple[list[Line], int]:
        """Lines for the whole text so far.

        Args:
            text: all of it; it should begin with what was given before, or all is done anew.

        Returns:
            Every line, and how many of the first are the same objects as the last time.
        """
        if not text.startswith(self._text):
            self._reset()
        self._text = text
        kept = len(self._frozen)
        line_end = text.rfind("\n") + 1
        if line_end > self._looked_to:
            self._freeze(line_end)
            self._looked_to = line_end
            if self._redefined():
                self._reset()
                self._text = text
                self._freeze(line_end)
                self._looked_to = line_end
                kept = 0
        tail = self._lay_out(text[self._start :], growing=True)
        return self._joined(tail), min(kept, len(self._frozen))

    def _reset(self) -> None:
        definitions = self._layout.environment
        self._layout.clear()
        self._layout.environment = definitions
        self._frozen, self._start, self._looked_to, self._open_list = [], 0, 0, None

    def _redefined(self) -> bool:
        """True when a new link definition may have changed what frozen text means."""
        count = len(self._layout.environment.get("references", {}))
        changed = count != self._definitions
        self._definitions = count
        return changed and bool(self._frozen)

    def _freeze(self, line_end: int) -> None:
        """Move blocks that are closed by complete lines from the tail to the frozen part."""
        source = self._text[self._start : line_end]
        tokens = block_tokens(source, self._layout.environment)
        ranges = top_level(tokens)
        if not ranges:
            return
        starts = _line_starts(source)
        begin = 0
        for first, end in ranges[:-1]:
            lines = self._block(tokens[first:end])
            self._frozen = self._joined(lines)
            if lines:
                self._open_list = None
            begin = _offset(starts, tokens[end], source)
        first, end = ranges[-1]
        begin = self._freeze_items(tokens[first:end], starts, source, begin)
        self._start += begin

    def _freeze_items(self, tokens: list[Token], starts: list[int], source: str, begin: int) -> int:
        """Freeze all items but the last of the list that ends the text."""
        opening = tokens[0]
        if opening.type not in ("bullet_list_open", "ordered_list_open"):
            return begin
        items = top_level(tokens[1:-1])
        if len(items) < 2:
            return begin
        last = items[-1][0] + 1
        head = [opening, *tokens[1:last], tokens[-1]]
        number = self._number(opening)
        lines, _ = self._layout.block(head, 0, self._layout.width, 0, number)
        self._frozen = self._joined(lines, opening)
        self._open_list = _OpenList(opening.type, opening.markup, number + len(items) - 1)
        return _offset(starts, tokens[last], source)

    def _number(self, opening: Token) -> int:
        going_on = self._goes_on(opening)
        return going_on.next_number if going_on is not None else list_start(opening)

    def _goes_on(self, opening: Token) -> _OpenList | None:
        known = self._open_list
        if known is not None and (known.kind, known.markup) == (opening.type, opening.markup):
            return known
        return None

    def _block(self, tokens: list[Token]) -> list[Line]:
        number = self._number(tokens[0]) if tokens[0].type.endswith("_list_open") else None
        lines, _ = self._layout.block(tokens, 0, self._layout.width, 0, number)
        self._first = tokens[0]
        return lines

    def _joined(self, lines: list[Line], opening: Token | None = None) -> list[Line]:
        """Frozen lines and more, with a blank line between unless a list goes on."""
        first = opening if opening is not None else self._first
        if not lines:
            return self._frozen
        if not self._frozen:
            return lines
        if first is not None and self._goes_on(first) is not None:
            return [*self._frozen, *lines]
        return [*self._frozen, BLANK, *lines]

    _first: Token | None = None

    def _lay_out(self, source: str, *, growing: bool) -> list[Line]:
        """Lines of the tail; sets what it begins with for ``_joined``."""
        tokens = block_tokens(source, dict(self._layout.environment))
        self._first = None
        ranges = top_level(tokens)
        lines: list[Line] = []
        for position, (first, end) in enumerate(ranges):
            opening = tokens[first]
            number = None
            if position == 0:
                self._first = opening
                if opening.type.endswith("_list_open"):
                    number = self._number(opening)
            last = position == len(ranges) - 1
            self._layout.growing = growing and last and opening.type == "fence"
            block, _ = self._layout.block(tokens[first:end], 0, self._layout.width, 0, number)
            self._layout.growing = False
            if lines and block:
                lines.append(BLANK)
            lines.extend(block)
        return lines


def _line_starts(source: str) -> list[int]:
    starts = [0]
    position = source.find("\n")
    while position >= 0:
        starts.append(position + 1)
        position = source.find("\n", position + 1)
    return starts


def _offset(starts: list[int], token: Token, source: str) -> int:
    """Character at which a block begins."""
    line = token.map[0] if token.map else 0
    return starts[line] if line < len(starts) else len(source)
