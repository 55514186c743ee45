"""What the parts of the chat screen share: its widgets and its state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from llmos.tui.screens.base import TabScreen
from llmos.tui.widgets.prompt import Prompt
from llmos.tui.widgets.status_bar import StatusBar
from llmos.tui.widgets.tab_bar import TabBar
from llmos.tui.widgets.transcript import Transcript

if TYPE_CHECKING:
    from llmos.conversation.store import Store
    from llmos.tui.turns import TurnDrawer
    from llmos.tui.widgets.blocks import TranscriptBlock
    from llmos.tui.widgets.chat_list import ChatList
    from llmos.tui.widgets.completion import Completion
    from llmos.types import Message


class ChatBase(TabScreen):
    """Widgets by name, and the open chat.

    Attributes:
        chat_id: id of the open chat; empty: a new one that is not stored yet.
        messages: its mounted messages, oldest first.
        editing: id of the message that the prompt will replace, or empty.
        unsent: what was in the prompt before it.
        view: counts how often another chat was opened.
        fitting: of a message that was too long, the beginning that fits.
    """

    def __init__(self) -> None:
        super().__init__()
        self.chat_id = ""
        self.chat_title = ""
        self.messages: list[Message] = []
        self.editing = ""
        self.unsent = ""
        self.view = 0
        self.fitting = ""
        self._transcript: Transcript | None = None
        self._prompt: Prompt | None = None

    @property
    def alive(self) -> bool:
        """False while the program ends: events may still come, but there is nothing to draw on."""
        if not (self.is_running and self.is_attached):
            return False
        # Asked for every token: the way through all widgets is taken once.
        if self._transcript is None or not self._transcript.is_attached:
            self._transcript = next(iter(self.query(Transcript)), None)
        return self._transcript is not None

    @property
    def filled(self) -> bool:
        """True once the parts are there that the first paint did without."""
        return bool(self.query("#completion"))

    async def store(self) -> Store:
        """The chats, once they are open."""
        return (await self.face.ready()).store

    @property
    def turn(self) -> TurnDrawer | None:
        """The running turn of the open chat."""
        return self.face.turns.get(self.chat_id) if self.chat_id else None

    async def open_chat(self, chat_id: str) -> None:
        """Show a chat; an empty id shows a new one."""
        raise NotImplementedError

    async def refresh_list(self) -> None:
        """Show the list of chats anew."""
        raise NotImplementedError

    async def add_notice(self, text: str, level: str = "info") -> None:
        """A line in the transcript that is not stored."""
        from llmos.tui.widgets.blocks import NoticeBlock

        await self.transcript.add(NoticeBlock(text, level))

    # Given by the parts of the screen.

    async def attachments(self, text: str) -> Mapping[str, Any] | None:
        """Files that the text names by ``@``."""
        raise NotImplementedError

    def mark_new_below(self) -> None:
        """Show that something is out of sight."""
        raise NotImplementedError

    def remember_sent(self) -> None:
        """Store that the prompt was emptied, and the history with what was sent."""
        raise NotImplementedError

    def change_chat(self, chat_id: str, draft: str) -> None:
        """The prompt goes over to another chat."""
        raise NotImplementedError

    def keep_draft(self) -> None:
        """Note what is written, and store it soon."""
        raise NotImplementedError

    async def save_draft(self) -> None:
        """Store what is typed but not sent."""
        raise NotImplementedError

    def give_back(self, text: str) -> None:
        """A text that could not be sent goes back into the prompt."""
        raise NotImplementedError

    async def stored_chat(self, view: int | None = None, title: str = "") -> str:
        """Id of the chat of a view; a new one is stored now."""
        raise NotImplementedError

    def slash_call(self, text: str) -> Callable[[], Any] | None:
        """What a slash command does; None when the text is none."""
        raise NotImplementedError

    def remove_welcome(self) -> None:
        """Take the first-run lines away."""
        raise NotImplementedError

    def set_chat_title(self, title: str) -> None:
        """Show the chat's title."""
        raise NotImplementedError

    def hide_find(self) -> None:
        """Leave the search in the chat."""
        raise NotImplementedError

    async def run_slash(self, text: str) -> bool:
        """Run a slash command; False when it is none."""
        raise NotImplementedError

    async def cut_from(self, message_id: str) -> None:
        """Remove the blocks from a message on: a branch begins there."""
        raise NotImplementedError

    async def cut_after(self, message_id: str) -> None:
        """Remove the blocks behind a message: another answer begins there."""
        raise NotImplementedError

    async def reload_ids(self) -> None:
        """Read the messages of the chat again, without drawing them."""
        raise NotImplementedError

    async def show_branches(self) -> None:
        """Mark the blocks that have siblings."""
        raise NotImplementedError

    async def refresh_welcome(self) -> None:
        """First-run lines, while the chat is empty."""
        raise NotImplementedError

    async def stop_turn(self) -> bool:
        """Stop the open chat's answer; True when there was one."""
        raise NotImplementedError

    def send(self, text: str, *, edit_of: str = "", options: Mapping[str, Any] | None = None) -> None:
        """Begin a turn with the user's text."""
        raise NotImplementedError

    def start_editing(self, message_id: str, text: str) -> None:
        """The prompt holds an earlier message."""
        raise NotImplementedError

    def stop_editing(self) -> None:
        """The prompt holds a new message again."""
        raise NotImplementedError

    def answer_again(self, message_id: str, options: Mapping[str, Any] | None = None) -> None:
        """Another answer beside an earlier one, or to a message of the user."""
        raise NotImplementedError

    def rename(self, chat_id: str, title: str = "") -> Any:
        """Rename a chat; asks for a name unless one is given."""
        raise NotImplementedError

    def find_next(self, text: str) -> None:
        """Go to the next block that holds a text."""
        raise NotImplementedError

    async def add_text(self, text: str) -> None:
        """A text of the program in the transcript, as Markdown; not stored."""
        raise NotImplementedError

    async def answer_for(self, title: str, value: str = "") -> str | None:
        """Ask for a line of text; None when the user left."""
        from llmos.tui.screens.ask import Ask

        return await self.app.push_screen_wait(Ask(title, value))

    @property
    def prompt(self) -> Prompt:
        """The prompt; while the program ends it is still asked for what it holds."""
        if self._prompt is None:
            self._prompt = self.query_one("#prompt", Prompt)
        return self._prompt

    @property
    def transcript(self) -> Transcript:
        """The transcript."""
        return self.query_one("#transcript", Transcript)

    @property
    def chat_list(self) -> ChatList:
        """The list of chats."""
        from llmos.tui.widgets.chat_list import ChatList

        return self.query_one("#chats", ChatList)

    @property
    def completion(self) -> Completion:
        """The completions above the prompt."""
        from llmos.tui.widgets.completion import Completion

        return self.query_one("#completion", Completion)

    @property
    def cursor(self) -> TranscriptBlock | None:
        """The block under the cursor."""
        return self.transcript.cursor

    def set_title(self, title: str) -> None:
        """The chat's title on the right of the tab bar."""
        for bar in self.query(TabBar):
            bar.set_title(title)

    def key_of(self, action_id: str) -> str:
        """The keys of an action, as people write them."""
        from llmos.tui.actions import action_by_id, keys_of

        action = action_by_id(action_id)
        return keys_of(action, self.face.options.keys) if action is not None else ""

    def set_hint(self, hint: str) -> None:
        """Keys that matter now, in the status bar."""
        for bar in self.query(StatusBar):
            bar.set_hint(hint)
