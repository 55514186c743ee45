"""One widget for each kind of panel element; ``update_data`` takes new data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message as TextualMessage
from textual.widget import Widget
from textual.widgets import Button, DataTable

from llmos.tui.markdown.lines import BLANK, Line, wrap
from llmos.tui.widgets.blocks import TranscriptBlock

#: Colours of cells and bars by name; anything else is the theme's primary colour.
COLOURS = frozenset({"primary", "secondary", "accent", "success", "warning", "error", "muted"})


class TextElement(TranscriptBlock):
    """Markdown."""

    def update_data(self, data: Mapping[str, Any]) -> None:
        """New text."""
        text = str(data.get("markdown", ""))
        if text != self.text:
            self.text = text
            self.relayout()

    def layout_lines(self, width: int) -> list[Line]:
        """The text as Markdown."""
        from llmos.tui.markdown.layout import render

        return render(self.text, width) or [BLANK]


class TableElement(DataTable[Any]):
    """A table; the highlighted row is what actions are about."""

    def __init__(self) -> None:
        super().__init__(cursor_type="row", zebra_stripes=True)
        self._shown: tuple[Any, Any] = ((), ())
        self._row_names: list[Any] = []

    def update_data(self, data: Mapping[str, Any]) -> None:
        """New rows; the cursor stays on its row."""
        columns, rows = list(data.get("columns", ())), [list(row) for row in data.get("rows", ())]
        names = list(data.get("keys", ()))
        if (columns, rows) == self._shown and names == self._row_names:
            return
        present = self.key_of(self.cursor_row)
        same_columns = columns == self._shown[0]
        self._shown, self._row_names = (columns, rows), names
        self.clear(columns=not same_columns)
        if not same_columns:
            for column in columns:
                self.add_column(Text(str(column)))
        for row in rows:
            self.add_row(*(_cell(value) for value in row))
        if present is not None and present in names:
            self.move_cursor(row=names.index(present))

    def key_of(self, row: int) -> Any:
        """The key of a row, or None."""
        return self._row_names[row] if 0 <= row < len(self._row_names) else None


def _cell(value: Any) -> Text:
    if isinstance(value, float):
        value = f"{value:.4g}"
    return Text(" ".join(str("" if value is None else value).split())[:200])


class BarsElement(TranscriptBlock):
    """Horizontal bars with their values."""

    def __init__(self) -> None:
        super().__init__()
        self._data: Mapping[str, Any] = {}

    def update_data(self, data: Mapping[str, Any]) -> None:
        """New values."""
        if data != self._data:
            self._data = data
            self.text = "\n".join(
                f"{label}\t{value}" for label, value in zip(data["labels"], data["values"], strict=False)
            )
            self.relayout()

    def layout_lines(self, width: int) -> list[Line]:
        """A row a bar: label, bar, value."""
        labels = [str(label) for label in self._data.get("labels", ())]
        values = [float(value) for value in self._data.get("values", ())]
        unit = str(self._data.get("unit", ""))
        texts = [f"{value:.4g}{' ' + unit if unit else ''}" for value in values]
        label_width = min(max((Content(one).cell_length for one in labels), default=0), max(width // 3, 4))
        value_width = max((len(one) for one in texts), default=0)
        room = max(width - label_width - value_width - 2, 1)
        largest = max((abs(value) for value in values), default=0.0) or 1.0
        lines: list[Line] = []
        for label, value, text in zip(labels, values, texts, strict=False):
            name = Content(label).truncate(label_width, ellipsis=True)
            name = name.pad_right(label_width - name.cell_length)
            bar = bar_text(abs(value) / largest, room)
            style = "$text-error" if value < 0 else "$text-primary"
            lines.append(Line(Content.assemble(name, " ", (bar, style), f" {text:>{value_width}}")))
        return lines or [BLANK]


def bar_text(share: float, width: int) -> str:
    """A bar of eighths of a cell, padded to ``width``."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    full, rest = divmod(eighths, 8)
    bar = "█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")
    return bar.ljust(width)


class ProgressElement(TranscriptBlock):
    """How far something is."""

    def __init__(self) -> None:
        super().__init__()
        self._share = 0.0
        self._label = ""

    def update_data(self, data: Mapping[str, Any]) -> None:
        """New state."""
        done, total = float(data.get("done", 0)), float(data.get("total", 1)) or 1.0
        label = f"{done:g} of {total:g} {data.get('text', '')}".strip()
        if (done / total, label) != (self._share, self._label):
            self._share, self._label = done / total, label
            self.text = label
            self.relayout()

    def layout_lines(self, width: int) -> list[Line]:
        """A bar and the figures below it."""
        share = min(max(self._share, 0.0), 1.0)
        style = "$text-error" if share > 0.95 else "$text-warning" if share > 0.8 else "$text-primary"
        filled = round(share * width)
        bar = Content.assemble(("━" * filled, style), ("─" * (width - filled), "$text-muted"))
        return [Line(bar), *wrap(Content.styled(self._label, "$text-muted"), width)]


class CellsElement(TranscriptBlock, can_focus=True):
    """A row of cells as wide as their weights; one can be chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "step(-1)", "Cell before"),
        Binding("right", "step(1)", "Cell after"),
        Binding("enter", "choose", "Choose"),
    ]

    class Chosen(TextualMessage):
        """A cell was chosen."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    def __init__(self) -> None:
        super().__init__()
        self._cells: list[Mapping[str, Any]] = []
        self._index = 0

    def update_data(self, data: Mapping[str, Any]) -> None:
        """New cells."""
        cells = list(data.get("cells", ()))
        if cells != self._cells:
            self._cells = cells
            self._index = min(self._index, max(len(cells) - 1, 0))
            self.text = "\n".join(str(cell.get("label", "")) for cell in cells)
            self.relayout()

    def layout_lines(self, width: int) -> list[Line]:
        """Cells one after the other, wrapped; each as wide as its share of two rows, at least two cells."""
        total = sum(max(float(cell.get("weight", 1)), 0.0) for cell in self._cells) or 1.0
        lines: list[Line] = []
        row = Content("")
        for number, cell in enumerate(self._cells):
            weight = max(float(cell.get("weight", 1)), 0.0)
            size = min(max(round(2 * width * weight / total), 2), width)
            label = Content(str(cell.get("label", ""))).truncate(max(size - 1, 1), ellipsis=size > 4)
            label = label.pad_right(size - label.cell_length)
            colour = str(cell.get("colour", "primary"))
            name = colour if colour in COLOURS else "primary"
            style = "$text on $panel" if name == "muted" else f"$text-{name} on ${name}-muted"
            label = label.stylize(f"bold {style}" if number == self._index and self.has_focus else style)
            if number == self._index and self.has_focus:
                label = label.stylize("reverse")
            if row.cell_length + size > width and row:
                lines.append(Line(row))
                row = Content("")
            row += label
        if row:
            lines.append(Line(row))
        return lines or [BLANK]

    def action_step(self, step: int) -> None:
        """Choose the cell beside."""
        if self._cells:
            self._index = (self._index + step) % len(self._cells)
            self.relayout()

    def action_choose(self) -> None:
        """Tell which cell is chosen."""
        if self._cells:
            self.post_message(self.Chosen(str(self._cells[self._index].get("key", ""))))

    def on_focus(self) -> None:
        """Show the chosen cell."""
        self.relayout()

    def on_blur(self) -> None:
        """Show it no longer."""
        self.relayout()


class PlotElement(Widget):
    """Curves, drawn by textual-plot, which is imported only now."""

    DEFAULT_CSS = """
    PlotElement { height: 14; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._data: Mapping[str, Any] = {}

    def compose(self) -> ComposeResult:
        """The plot."""
        from textual_plot import PlotWidget

        yield PlotWidget(allow_pan_and_zoom=False)

    def update_data(self, data: Mapping[str, Any]) -> None:
        """New curves."""
        if data == self._data or not self.is_mounted:
            return
        self._data = data
        from textual_plot import HiResMode, PlotWidget

        plot = self.query_one(PlotWidget)
        plot.clear()
        palette = ("cyan", "magenta", "yellow", "green", "white", "blue")
        for number, series in enumerate(data.get("series", ())):
            points = [
                (float(x), float(y)) for x, y in zip(series["x"], series["y"], strict=False) if y is not None
            ]
            if not points:
                continue
            xs, ys = [x for x, _ in points], [y for _, y in points]
            colour = palette[number % len(palette)]
            label = str(series.get("name", "")) or None
            if series.get("dots"):
                plot.scatter(xs, ys, marker=str(series.get("marker", "●")), marker_style=colour, label=label)
                continue
            plot.plot(xs, ys, line_style=colour, hires_mode=HiResMode.BRAILLE, label=label)
        self._room_for_dots(plot, data)
        plot.set_xlabel(str(data.get("x", "")))
        plot.set_ylabel(str(data.get("y", "")))
        if len(data.get("series", ())) > 1:
            plot.show_legend()

    def _room_for_dots(self, plot: Any, data: Mapping[str, Any]) -> None:
        """Dots keep clear of the frame, and of the legend that stands on the right."""
        dots = [one for one in data.get("series", ()) if one.get("dots")]
        xs = [float(x) for one in dots for x in one["x"]]
        ys = [float(y) for one in dots for y in one["y"]]
        if not xs:
            return
        wide, high = (max(xs) - min(xs)) or 1.0, (max(ys) - min(ys)) or 1.0
        legend = 0.35 if len(data["series"]) > 1 else 0.05
        plot.set_xlimits(min(xs) - 0.05 * wide, max(xs) + legend * wide)
        plot.set_ylimits(min(ys) - 0.1 * high, max(ys) + 0.1 * high)


class ActionButton(Button):
    """A button that names its action."""

    def __init__(self, action_id: str, label: str) -> None:
        super().__init__(Content(label), compact=True)
        self.action_id = action_id


class ActionsElement(Horizontal):
    """Buttons; their keys work too."""

    DEFAULT_CSS = """
    ActionsElement { height: auto; }
    ActionsElement Button { margin-right: 1; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.actions: list[Mapping[str, Any]] = []

    def update_data(self, data: Mapping[str, Any]) -> None:
        """New actions."""
        actions = list(data.get("actions", ()))
        if actions == self.actions:
            return
        self.actions = actions
        self.remove_children()
        self.mount_all(ActionButton(str(one["id"]), _label(one)) for one in actions)


def _label(action: Mapping[str, Any]) -> str:
    key = str(action.get("key") or "")
    label = str(action.get("label", action["id"]))
    return f" {label} ({key}) " if key else f" {label} "


def build_form(data: Mapping[str, Any]) -> Widget:
    """A form made from a JSON schema."""
    from llmos.tui.widgets.form import FormElement

    return FormElement(data)
