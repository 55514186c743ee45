"""A rendered line and how lines go back to plain text when they are copied."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from textual.content import Content


class Line(NamedTuple):
    """One row of the screen.

    Attributes:
        content: what is drawn; never wider than it was laid out for.
        joint: what joins it to the line above in the source: a line feed, or a space or nothing
            where the text was only wrapped.
        lead: leading characters that are decoration (hanging indent, padding), not text.
    """

    content: Content
    joint: str = "\n"
    lead: int = 0


BLANK = Line(Content(""))


def wrap(content: Content, width: int) -> list[Line]:
    """Wrap one paragraph (line feeds in it are kept) to ``width`` cells."""
    from rich._wrap import divide_line

    width = max(width, 2)
    lines: list[Line] = []
    for paragraph in content.split("\n", allow_blank=True):
        if paragraph.cell_length <= width:
            lines.append(Line(paragraph))
            continue
        joint = "\n"
        for piece in paragraph.divide(divide_line(paragraph.plain, width)):
            trimmed = piece.rstrip()
            lines.append(Line(trimmed, joint))
            joint = " " if len(trimmed) < len(piece) else ""
    return lines


def fold(content: Content, width: int) -> list[Line]:
    """Cut one line of code into rows of at most ``width`` cells, at any character."""
    if content.cell_length <= width:
        return [Line(content)]
    pieces = content.fold(max(width, 2))
    return [Line(piece, "" if index else "\n") for index, piece in enumerate(pieces)]


def prefixed(lines: Iterable[Line], first: Content, rest: Content, *, drop: bool = False) -> list[Line]:
    """Put ``first`` before the first line and ``rest`` before the others.

    Args:
        lines: the lines.
        first: prefix of the first line, such as a list marker; it is text.
        rest: prefix of the others; only decoration before a wrapped line.
        drop: the prefixes are decoration before every line.
    """
    out: list[Line] = []
    for index, line in enumerate(lines):
        prefix = rest if index else first
        decoration = drop or line.joint != "\n"
        lead = line.lead + len(prefix) if decoration or line.lead else 0
        out.append(Line(prefix + line.content, line.joint, lead))
    return out


def plain_text(lines: Iterable[Line]) -> str:
    """The text of lines without decoration, wrapped lines joined again."""
    parts: list[str] = []
    for index, line in enumerate(lines):
        text = line.content.plain[line.lead :].rstrip()
        parts.append(text if index == 0 else line.joint + text)
    return "".join(parts)


def selected_text(lines: list[Line], start: tuple[int, int] | None, end: tuple[int, int] | None) -> str:
    """The text between two places, as it is copied.

    Args:
        lines: every line of the widget.
        start: (row, character) of the first selected character; None: the beginning.
        end: (row, character) behind the last one; None: the end.
    """
    first_row, first_column = start if start is not None else (0, 0)
    last_row, last_column = end if end is not None else (len(lines) - 1, 1 << 30)
    parts: list[str] = []
    for row in range(max(first_row, 0), min(last_row, len(lines) - 1) + 1):
        line = lines[row]
        begin = max(first_column if row == first_row else 0, line.lead)
        stop = last_column if row == last_row else 1 << 30
        text = line.content.plain[begin:stop]
        if row != last_row or stop >= len(line.content.plain):
            text = text.rstrip()
        parts.append(text if not parts else line.joint + text)
    return "".join(parts)
