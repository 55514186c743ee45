"""The chat: list of chats, transcript, prompt, side panel."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical

from llmos.tui.actions import bindings
from llmos.tui.screens.chat_blocks import BlockActions
from llmos.tui.screens.chat_complete import CompletionActions
from llmos.tui.screens.chat_drafts import DraftActions
from llmos.tui.screens.chat_extra import ExtraActions
from llmos.tui.screens.chat_manage import ChatActions
from llmos.tui.screens.chat_turn import TurnActions
from llmos.tui.widgets.prompt import Prompt
from llmos.tui.widgets.transcript import Transcript

#: From this many columns on, the list stands beside the chat; below, it lies over it.
WIDE = 100


class ChatScreen(TurnActions, ChatActions, DraftActions, BlockActions, CompletionActions, ExtraActions):
    """The chat tab."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("chat")

    def __init__(self) -> None:
        super().__init__()
        self._filling = False
        self._list_beside = True
        self._parts_there = asyncio.Event()
        # This screen comes with the first frame: no style is older than the app's.
        self._css_update_count = self.app._css_update_count
        width = self.app.size.width
        classes = {"-narrow": width < WIDE, "-tiny": width < 40, "-list": width >= WIDE}
        self.set_classes([name for name, holds in classes.items() if holds])

    def compose_body(self) -> ComposeResult:
        """List, transcript with the prompt below it, side panel."""
        with Horizontal(id="main"):
            # The list itself comes after the first paint; this keeps its place.
            yield Vertical(id="list-place")
            with Vertical(id="center"):
                yield Transcript(id="transcript")
                yield Prompt(id="prompt", placeholder="Ask anything. Enter sends, Ctrl+J new line, F1 help")

    def on_mount(self) -> None:
        """Focus the prompt; everything else comes after the first paint."""
        self.prompt.cursor_blink = not self.face.options.slow
        if self.face.options.vi_keys:
            self.prompt.use_vi(True)
        self.prompt.focus()
        self.call_after_refresh(self.fill)

    async def fill(self) -> None:
        """What the first paint can do without: the list, the completions, the mark of new text."""
        from llmos.tui.widgets.chat_list import ChatList
        from llmos.tui.widgets.completion import Completion
        from llmos.tui.widgets.new_below import NewBelow

        if self.filled or self._filling:
            return
        self._filling = True
        await self.query_one("#center").mount_all(
            [NewBelow(id="new-below"), Completion(id="completion")],
            before="#prompt",
        )
        place = self.query_one("#list-place")
        if not place.is_attached:
            return  # The user left at once.
        await place.mount(ChatList(id="chats"))
        self._parts_there.set()

    def on_resize(self, event: events.Resize) -> None:
        """Side columns become overlays on narrow screens."""
        self._arrange(event.size.width)

    def _arrange(self, width: int) -> None:
        narrow = width < WIDE
        if narrow != self.has_class("-narrow"):
            # Beside the chat unless it was hidden; over the chat only when it is asked for.
            self.set_class(not narrow and self._list_beside, "-list")
        self.set_class(narrow, "-narrow")
        self.query("SidePanel").set_class(width < WIDE, "-overlay")
        self.set_class(width < 40, "-tiny")

    async def backend_ready(self) -> None:
        """The store is open: the list, the first chat, the draft."""
        await self._parts_there.wait()
        await self.refresh_list()
        await self.open_chat(self.face.first_chat)
        self.load_prompt_history()

    def model_loaded(self) -> None:
        """A model is loaded: say what it is where the chat is still empty."""
        self.call_next(self.refresh_welcome)

    # Moving about

    def action_toggle_list(self) -> None:
        """Show or hide the list of chats; showing it puts the focus there."""
        self.toggle_class("-list")
        if not self.has_class("-narrow"):
            self._list_beside = self.has_class("-list")
        if not self.filled:
            return
        if self.has_class("-list"):
            self.call_after_refresh(self.chat_list.focus_rows)
        else:
            self.prompt.focus()

    def action_toggle_side(self) -> None:
        """Show or hide the side panel."""
        self.toggle_side_panel()

    def action_blocks(self) -> None:
        """The block cursor goes to the last block."""
        self.transcript.focus()

    def action_to_prompt(self) -> None:
        """Back to the prompt."""
        self.prompt.focus()

    def action_to_end(self) -> None:
        """To the end of the chat."""
        self.transcript.to_end()

    def action_page(self, step: int) -> None:
        """Scroll the transcript by a page."""
        transcript = self.transcript
        transcript.scroll_relative(y=step * max(transcript.size.height - 2, 1), animate=False)

    def on_transcript_following(self, event: Transcript.Following) -> None:
        """Mark that something new is out of sight."""
        if event.at_end:
            self.query("#new-below").remove_class("-shown")

    def mark_new_below(self) -> None:
        """Show the mark when text comes while the end is out of sight."""
        if not self.transcript.at_end:
            self.query("#new-below").add_class("-shown")

    def on_new_below_clicked(self) -> None:
        """A click on the mark goes to the end."""
        self.transcript.to_end()

    def on_transcript_cursor_moved(self, event: Transcript.CursorMoved) -> None:
        """Say which keys work on the block."""
        if event.block is None:
            self.set_hint("")
            return
        self.set_hint("c copy  x code  e edit  r again  space fold  [ ] branch  Esc back")
