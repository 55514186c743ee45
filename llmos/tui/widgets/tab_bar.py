"""One row with the names of the tabs; the present one is marked; a click opens one."""

from __future__ import annotations

from textual import events
from textual.content import Content
from textual.message import Message as TextualMessage
from textual.widget import Widget


class TabBar(Widget):
    """Names of the tabs, and on the right a title such as the chat's."""

    DEFAULT_CSS = """
    TabBar { height: 1; width: 1fr; background: $surface; padding: 0 1; }
    """

    class Chosen(TextualMessage):
        """A tab was clicked."""

        def __init__(self, tab: str) -> None:
            super().__init__()
            self.tab = tab

    def __init__(self) -> None:
        super().__init__()
        self._tabs: list[tuple[str, str]] = []
        self._present = ""
        self._title = ""

    def show(self, tabs: list[tuple[str, str]], present: str) -> None:
        """Set the tabs as (id, title) and which is open."""
        if (tabs, present) != (self._tabs, self._present):
            self._tabs, self._present = tabs, present
            self.refresh()

    def set_title(self, title: str) -> None:
        """Text on the right."""
        if title != self._title:
            self._title = title
            self.refresh()

    def _names(self) -> list[tuple[str, str]]:
        return [(tab, f" {title} ") for tab, title in self._tabs]

    def render(self) -> Content:
        """Names, then the title at the right where there is room."""
        parts = [
            (name, "bold reverse" if tab == self._present else "$text-muted") for tab, name in self._names()
        ]
        names = Content.assemble(*parts)
        room = self.size.width - names.cell_length - 2
        if not self._title or room < 8:
            return names
        title = Content.styled(self._title, "$text-muted").truncate(room, ellipsis=True)
        return names + Content(" " * (room + 2 - title.cell_length)) + title

    def on_click(self, event: events.Click) -> None:
        """Open the clicked tab."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        position = 0
        for tab, name in self._names():
            position += len(name)
            if offset.x < position:
                self.post_message(self.Chosen(tab))
                return
