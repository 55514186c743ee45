"""A widget that draws laid-out lines: only those on the screen, each once, selectable by mouse."""

from __future__ import annotations

from rich.segment import Segment
from textual.content import Content
from textual.geometry import Region, Size
from textual.selection import Selection
from textual.strip import Strip
from textual.style import Style
from textual.widget import Widget

from llmos.tui.markdown.lines import Line, selected_text


class LinesView(Widget):
    """Base of everything in the transcript. Subclasses give ``layout_lines``."""

    DEFAULT_CSS = """
    LinesView { height: auto; width: 1fr; }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: list[Line] = []
        self._lines_width = 0
        #: Height that the layout knows.
        self._told_rows = 0
        self._strips: dict[int, Strip] = {}
        self._strips_style: Style | None = None

    def layout_lines(self, width: int) -> list[Line]:
        """Lines of the content, none wider than ``width`` cells."""
        raise NotImplementedError

    @property
    def lines(self) -> list[Line]:
        """The lines as they were last laid out."""
        return self._lines

    def rows(self) -> int:
        """Height in rows; a growing block may keep a few free rows below, to be laid out seldom."""
        return len(self._lines)

    def content_changed(self, keep: int = 0) -> None:
        """Lay out anew and repaint.

        Args:
            keep: how many of the first lines are certainly as they were.
        """
        width = self._lines_width
        if not width:
            self.refresh(layout=True)
            return
        before = len(self._lines)
        old = self._lines
        self._lines = self.layout_lines(width)
        same = min(keep, before, len(self._lines))
        while same < min(before, len(self._lines)) and old[same] is self._lines[same]:
            same += 1
        for row in [row for row in self._strips if row >= same]:
            del self._strips[row]
        if self._told_rows != self.rows():
            self.refresh(layout=True)
        else:
            # Only the rows that changed: a repaint of everything costs ten times as much.
            last = max(before, len(self._lines))
            self.refresh(Region(0, same, self.outer_size.width, max(last - same, 1)))

    def relayout(self) -> None:
        """Forget all and lay out anew (another theme, a fold)."""
        self._lines_width = 0
        self._strips.clear()
        self.refresh(layout=True)

    def _ensure(self, width: int) -> None:
        if width != self._lines_width and width > 0:
            self._lines_width = width
            self._lines = self.layout_lines(width)
            self._strips.clear()

    def get_content_width(self, container: Size, viewport: Size) -> int:
        """As wide as there is room."""
        return container.width

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """One row a line."""
        self._ensure(width)
        self._told_rows = self.rows()
        return self._told_rows

    def notify_style_update(self) -> None:
        """The theme changed: strips carry colours."""
        self._strips.clear()
        super().notify_style_update()

    def render_line(self, y: int) -> Strip:
        """One row, from the cache where it can be."""
        width = self.size.width
        self._ensure(width)
        style = self.visual_style
        if style != self._strips_style:
            self._strips.clear()
            self._strips_style = style
        if y >= len(self._lines):
            return Strip.blank(width, style.rich_style)
        selection = self.text_selection
        if selection is None and (known := self._strips.get(y)) is not None:
            return known
        content = self._lines[y].content
        if selection is not None:
            content = self._with_selection(content, selection, y)
        strip = self._strip(content, style, width, y)
        if selection is None:
            self._strips[y] = strip
        return strip

    def _with_selection(self, content: Content, selection: Selection, y: int) -> Content:
        span = selection.get_span(y)
        if span is None:
            return content
        start, end = span
        style = Style.from_styles(self.screen.get_component_styles("screen--selection"))
        return content.stylize(style, start, len(content) if end == -1 else end)

    def _strip(self, content: Content, style: Style, width: int, y: int) -> Strip:
        segments = []
        column = 0
        for text, text_style in content.render(style, end="", parse_style=self._get_style):
            segments.append(Segment(text, (style + text_style).rich_style_with_offset(column, y)))
            column += len(text)
        cells = content.cell_length
        strip = Strip(segments, cells)
        if cells != width:
            strip = strip.adjust_cell_length(width, style.rich_style)
        return strip

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """Text under the mouse's selection, wrapped lines joined again."""
        start = (selection.start.y, selection.start.x) if selection.start is not None else None
        end = (selection.end.y, selection.end.x) if selection.end is not None else None
        return selected_text(self._lines, start, end), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        """Repaint with the selection."""
        self.refresh()
