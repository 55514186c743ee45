"""Tables: columns as wide as they need and the width allows; cells wrap."""

from __future__ import annotations

from dataclasses import dataclass, field

from textual.content import Content

from llmos.tui.markdown.lines import Line, wrap

_RULE = "$text-muted"
#: Below this many cells a column a table is drawn as a list of its rows.
NARROWEST = 4


@dataclass(slots=True)
class TableData:
    """Cells of a table, the first row being its header."""

    rows: list[list[Content]] = field(default_factory=list)
    aligns: list[str] = field(default_factory=list)


class Tables:
    """Lays tables out and remembers rows."""

    def __init__(self) -> None:
        self._rows: dict[tuple[object, ...], list[Line]] = {}

    def clear(self) -> None:
        """Forget what was laid out."""
        self._rows.clear()

    def lines(self, table: TableData, width: int) -> list[Line]:
        """Rows of the screen for a table."""
        count = max((len(row) for row in table.rows), default=0)
        if not count:
            return []
        widths = column_widths(table.rows, count, width - 3 * (count - 1))
        if widths is None:
            return _as_list(table, width)
        lines: list[Line] = []
        for index, row in enumerate(table.rows):
            key = (index == 0, tuple(widths), *((cell.plain, len(cell.spans)) for cell in row))
            rendered = self._rows.get(key)
            if rendered is None:
                rendered = _row(row, widths, table.aligns, header=index == 0)
                self._rows[key] = rendered
            lines.extend(rendered)
            if index == 0:
                rule = "─┼─".join("─" * cells for cells in widths)
                lines.append(Line(Content.styled(rule, _RULE)))
        return lines


def column_widths(rows: list[list[Content]], count: int, room: int) -> list[int] | None:
    """Cells of each column, or None when even narrow columns do not fit.

    Args:
        rows: every row.
        count: number of columns.
        room: cells for all columns together, without the lines between them.
    """
    natural = [1] * count
    for row in rows:
        for column, cell in enumerate(row[:count]):
            natural[column] = max(natural[column], cell.cell_length)
    if sum(natural) <= room:
        return natural
    if room < NARROWEST * count:
        return None
    # Narrow columns keep what they need; the wide ones share the rest.
    widths = [0] * count
    left, open_columns = room, sorted(range(count), key=lambda column: natural[column])
    while open_columns:
        share = left // len(open_columns)
        column = open_columns.pop(0)
        widths[column] = min(natural[column], max(share, 1))
        left -= widths[column]
    return widths


def _row(row: list[Content], widths: list[int], aligns: list[str], *, header: bool) -> list[Line]:
    cells: list[list[Content]] = []
    for column, cells_wide in enumerate(widths):
        cell = row[column] if column < len(row) else Content("")
        if header:
            cell = cell.stylize("bold")
        cells.append([line.content for line in wrap(cell, cells_wide)] or [Content("")])
    separator = Content.styled(" │ ", _RULE)
    lines: list[Line] = []
    for index in range(max(len(cell) for cell in cells)):
        parts = [
            _aligned(cell[index] if index < len(cell) else Content(""), widths[column], aligns, column)
            for column, cell in enumerate(cells)
        ]
        lines.append(Line(separator.join(parts)))
    return lines


def _aligned(cell: Content, width: int, aligns: list[str], column: int) -> Content:
    gap = width - cell.cell_length
    if gap <= 0:
        return cell
    align = aligns[column] if column < len(aligns) else ""
    if align == "right":
        return cell.pad_left(gap)
    if align == "center":
        return cell.pad_left(gap // 2).pad_right(gap - gap // 2)
    return cell.pad_right(gap)


def _as_list(table: TableData, width: int) -> list[Line]:
    """Each row as ``header: value`` lines, for very narrow screens."""
    header, *rows = table.rows
    lines: list[Line] = []
    for index, row in enumerate(rows or [[Content("")] * len(header)]):
        if index:
            lines.append(Line(Content.styled("─" * max(width, 1), _RULE)))
        for name, cell in zip(header, row, strict=False):
            lines.extend(wrap(name.stylize("bold") + Content(": ") + cell, width))
    return lines
