"""Code blocks: highlighted by pygments, folded to the width, on a ground of their own."""

from __future__ import annotations

from textual.content import Content

from llmos.tui.markdown.lines import Line, fold, prefixed

GROUND = "on $boost"
#: Rows of an unfinished block that are highlighted again with each chunk.
TAIL_ROWS = 24

_PAD = Content(" ")


class Code:
    """Lays code blocks out and remembers them."""

    def __init__(self) -> None:
        self._highlighted: dict[tuple[str, str], list[Content]] = {}
        self._growing: tuple[str, str, int, list[Line]] = ("", "", 0, [])

    def clear(self) -> None:
        """Forget what was laid out."""
        self._highlighted.clear()
        self._growing = ("", "", 0, [])

    def finished(self, code: str, language: str, width: int) -> list[Line]:
        """Rows of a closed block."""
        key = (language, code)
        rows = self._highlighted.get(key)
        if rows is None:
            rows = highlighted_rows(code, language)
            self._highlighted[key] = rows
        return [*_label(language, width), *_rows(rows, width)]

    def growing(self, code: str, language: str, width: int) -> list[Line]:
        """Rows of a block that is still being written.

        Rows above the last few are kept as they were, highlighted with less context than
        ``finished`` has; text and layout are the same.
        """
        text, known_language, known_width, lines = self._growing
        if (known_language, known_width) != (language, width) or not code.startswith(text):
            text, lines = "", []
        rest = code[len(text) :]
        rows = rest.split("\n")
        if len(rows) > 2 * TAIL_ROWS:
            done = "\n".join(rows[:-TAIL_ROWS]) + "\n"
            lines = [*lines, *_rows(highlighted_rows(done[:-1], language), width)]
            text, rest = text + done, rest[len(done) :]
            self._growing = (text, language, width, lines)
        return [*_label(language, width), *lines, *_rows(highlighted_rows(rest, language), width)]


def highlighted_rows(code: str, language: str) -> list[Content]:
    """One ``Content`` a line of code."""
    code = code.expandtabs(4)
    if not code:
        return [Content("")]
    if not language:
        return [Content(row) for row in code.split("\n")]
    from textual.highlight import highlight

    # highlight() drops what splitlines() sees as line ends; keep to line feeds alone.
    safe = "".join(" " if letter in "\r\v\f\x1c\x1d\x1e\x85\u2028\u2029" else letter for letter in code)
    rows = list(highlight(safe, language=language).split("\n", allow_blank=True))
    count = safe.count("\n") + 1
    rows = rows[:count] + [Content("")] * (count - len(rows))
    return rows


def _rows(rows: list[Content], width: int) -> list[Line]:
    lines: list[Line] = []
    for row in rows:
        for line in prefixed(fold(row, width - 2), _PAD, _PAD, drop=True):
            gap = width - line.content.cell_length
            padded = line.content.pad_right(gap) if gap > 0 else line.content
            lines.append(Line(padded.stylize_before(GROUND), line.joint, line.lead))
    return lines


def _label(language: str, width: int) -> list[Line]:
    if not language:
        return []
    label = Content(f" {language}"[: max(width, 2)])
    gap = width - label.cell_length
    padded = label.pad_right(gap) if gap > 0 else label
    return [Line(padded.stylize("$text-muted").stylize_before(GROUND), "\n", len(padded))]
