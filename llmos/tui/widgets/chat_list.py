"""The list of chats with a search field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message as TextualMessage
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from llmos.tui.actions import bindings


@dataclass(frozen=True, slots=True)
class ChatRow:
    """One chat in the list."""

    id: str
    title: str
    pinned: bool = False
    tags: tuple[str, ...] = ()
    busy: bool = False


class ChatOptions(OptionList):
    """The rows; keys act on the highlighted chat."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("list")

    class Wanted(TextualMessage):
        """Something is to be done with a chat."""

        def __init__(self, what: str, chat_id: str) -> None:
            super().__init__()
            self.what = what
            self.chat_id = chat_id

    def _want(self, what: str) -> None:
        row = self.highlighted
        option = self.get_option_at_index(row) if row is not None else None
        self.post_message(self.Wanted(what, (option.id or "") if option is not None else ""))

    def action_rename(self) -> None:
        """Rename the highlighted chat."""
        self._want("rename")

    def action_delete(self) -> None:
        """Delete the highlighted chat."""
        self._want("delete")

    def action_undo(self) -> None:
        """Bring back what was deleted last."""
        self._want("undo")

    def action_pin(self) -> None:
        """Pin or unpin the highlighted chat."""
        self._want("pin")


class ChatList(Vertical):
    """Search above, chats below."""

    DEFAULT_CSS = """
    ChatList {
        height: 1fr;
    }
    #chat-search {
        margin-bottom: 1;
        background: $boost;
    }
    #chat-options, #chat-options:focus {
        height: 1fr;
        background: $surface;
        text-wrap: nowrap;
        text-overflow: ellipsis;
    }
    """

    class SearchChanged(TextualMessage):
        """Another search text."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Opened(TextualMessage):
        """A chat was chosen."""

        def __init__(self, chat_id: str) -> None:
            super().__init__()
            self.chat_id = chat_id

    def compose(self) -> ComposeResult:
        """Search field and rows."""
        yield Input(placeholder="Search chats", id="chat-search", compact=True)
        yield ChatOptions(id="chat-options", compact=True)

    @property
    def search_text(self) -> str:
        """What is searched for."""
        return self.query_one("#chat-search", Input).value

    def show(self, rows: Sequence[ChatRow], present: str) -> None:
        """Set the rows; the present chat is highlighted."""
        options = self.query_one("#chat-options", ChatOptions)
        options.clear_options()
        options.add_options([Option(_row(row), id=row.id) for row in rows])
        for index, row in enumerate(rows):
            if row.id == present:
                options.highlighted = index

    def focus_rows(self) -> None:
        """Put the focus on the rows."""
        self.query_one("#chat-options", ChatOptions).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Search while typing."""
        event.stop()
        self.post_message(self.SearchChanged(event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter in the search field goes to the rows, or opens the only one."""
        event.stop()
        options = self.query_one("#chat-options", ChatOptions)
        if options.option_count == 1:
            self.post_message(self.Opened(options.get_option_at_index(0).id or ""))
        elif options.option_count:
            options.focus()
            options.highlighted = 0

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Open the chosen chat."""
        event.stop()
        self.post_message(self.Opened(event.option_id or ""))


def _row(row: ChatRow) -> Content:
    mark = "★ " if row.pinned else "◌ " if row.busy else ""
    tags = "".join(f" #{tag}" for tag in row.tags)
    title = row.title.replace("\n", " ") or "New chat"
    return Content.assemble((mark, "$text-accent"), title, (tags, "$text-muted")).truncate(60, ellipsis=True)
