"""Chats: open, list, name, delete and bring back, pin, tags, fork, search."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from textual import work

from llmos.tui.screens.chat_base import ChatBase
from llmos.tui.screens.chat_drafts import NEW
from llmos.tui.widgets.transcript import PAGE

if TYPE_CHECKING:
    from textual.widgets import Input

    from llmos.tui.widgets.chat_list import ChatList, ChatOptions
    from llmos.tui.widgets.transcript import Transcript

#: Rows of the list; the search finds the others.
LISTED = 300


class ChatActions(ChatBase):
    """What is done with whole chats."""

    _deleted: str = ""

    def __init__(self) -> None:
        super().__init__()
        self._opening = asyncio.Lock()

    async def refresh_list(self) -> None:
        """Show the list of chats anew."""
        from llmos.tui.widgets.chat_list import ChatRow

        store = await self.store()
        search = self.chat_list.search_text
        chats = await store.run(lambda: store.list_chats(limit=LISTED, title=search))
        clean = self.face.clean
        rows = [
            ChatRow(chat.id, clean(chat.title), chat.pinned, chat.tags, chat.id in self.face.turns)
            for chat in chats
        ]
        self.chat_list.show(rows, self.chat_id)

    async def open_chat(self, chat_id: str) -> None:
        """Show a chat; an empty id shows a new one."""
        # One after the other: two at once would draw into one transcript.
        async with self._opening:
            await self._open_chat(chat_id)

    async def _open_chat(self, chat_id: str) -> None:
        from llmos.tui.history import blocks_of

        store = await self.store()
        chat = await store.run(store.chat, chat_id) if chat_id else None
        opened = chat.id if chat is not None else ""
        draft = await self.face.drafts.draft(store, opened or NEW)
        if (turn := self.turn) is not None:
            turn.detach()
        left = self.chat_id
        self.change_chat(opened, draft)
        await self.save_draft()
        self.remove_welcome()
        if left and left != self.chat_id and self.face.backend is not None:
            self.run_worker(self.face.backend.left_chat(left), group="leave")
        self.messages = []
        siblings: dict[str | None, list[str]] = {}
        if chat is not None:
            self.messages = await store.run(lambda: store.branch(chat.id, limit=PAGE))
            siblings = await store.run(store.sibling_ids, chat.id)
        turn = self.turn
        shown = self.messages
        if turn is not None and turn.user_message is not None:
            ids = [message.id for message in shown]
            if turn.user_message.id in ids:
                shown = shown[: ids.index(turn.user_message.id)]
        self.transcript.has_older = len(self.messages) >= PAGE
        await self.transcript.show(blocks_of(shown, self.face.clean, siblings))
        if turn is not None:
            await turn.attach(self.transcript)
            self.set_hint("Esc stop")
        self.set_chat_title(chat.title if chat is not None else "")
        await self.refresh_welcome()
        await self.face.refresh_status()

    async def on_transcript_older_wanted(self, event: Transcript.OlderWanted) -> None:
        """Mount older messages on top."""
        from llmos.tui.history import blocks_of

        event.stop()
        if not self.messages or not self.transcript.has_older:
            return
        store = await self.store()
        chat_id, parent = self.chat_id, self.messages[0].parent_id
        if parent is None:
            self.transcript.has_older = False
            return
        older = await store.run(lambda: store.branch(chat_id, parent, limit=PAGE))
        siblings = await store.run(store.sibling_ids, chat_id)
        if chat_id != self.chat_id:
            return
        self.transcript.has_older = len(older) >= PAGE
        await self.transcript.add_older(blocks_of(older, self.face.clean, siblings))
        self.messages = [*older, *self.messages]

    async def reload_ids(self) -> None:
        """Read the messages of the chat again, without drawing them."""
        store = await self.store()
        chat_id, count = self.chat_id, max(len(self.messages) + 8, PAGE)
        if chat_id:
            self.messages = await store.run(lambda: store.branch(chat_id, limit=count))

    def set_chat_title(self, title: str) -> None:
        """Show the chat's title."""
        self.chat_title = self.face.clean(title)
        self.set_title(self.chat_title or "New chat")

    # The list

    async def on_chat_list_search_changed(self, event: ChatList.SearchChanged) -> None:
        """Narrow the list down."""
        event.stop()
        await self.refresh_list()

    async def on_chat_list_opened(self, event: ChatList.Opened) -> None:
        """Open the chosen chat; an overlay goes away."""
        event.stop()
        if self.has_class("-narrow"):
            self.remove_class("-list")
        await self.open_chat(event.chat_id)
        self.prompt.focus()

    async def on_chat_options_wanted(self, event: ChatOptions.Wanted) -> None:
        """Keys in the list."""
        event.stop()
        if event.what == "undo":
            await self.action_undelete_chat()
        elif event.what == "rename":
            self.rename(event.chat_id)
        elif event.what == "delete":
            await self.delete(event.chat_id)
        elif event.what == "pin":
            await self.pin(event.chat_id)

    # Actions

    async def action_new_chat(self) -> None:
        """An empty chat; it is stored with its first message."""
        await self.open_chat("")
        await self.refresh_list()
        self.prompt.focus()

    def action_rename_chat(self) -> None:
        """Rename the open chat."""
        self.rename(self.chat_id)

    @work(group="rename")
    async def rename(self, chat_id: str, title: str = "") -> None:
        """Ask for a name unless one is given."""
        if not chat_id:
            self.face.tell("A new chat gets a name with its first message.")
            return
        store = await self.store()
        chat = await store.run(store.chat, chat_id)
        if not title:
            title = await self.answer_for("Name of the chat", chat.title if chat else "") or ""
        if not title.strip():
            return
        await store.run(store.rename_chat, chat_id, title.strip())
        if chat_id == self.chat_id:
            self.set_chat_title(title.strip())
        await self.refresh_list()

    async def action_delete_chat(self) -> None:
        """Delete the open chat."""
        await self.delete(self.chat_id)

    async def delete(self, chat_id: str) -> None:
        """Move a chat to the trash; F9 brings it back."""
        if not chat_id:
            return
        store = await self.store()
        if chat_id in self.face.turns and self.face.backend is not None:
            await self.face.backend.stop(chat_id)
        await store.run(store.delete_chat, chat_id)
        self._deleted = chat_id
        if chat_id == self.chat_id:
            await self.open_chat("")
        await self.refresh_list()
        self.face.tell("Chat deleted; F9 brings it back.")

    async def action_undelete_chat(self) -> None:
        """Bring back the chat that was deleted last."""
        store = await self.store()
        chat_id = self._deleted
        if not chat_id:
            trash = await store.run(lambda: store.list_chats(trash=True, limit=1))
            chat_id = trash[0].id if trash else ""
        if not chat_id:
            self.face.tell("No chat was deleted.")
            return
        await store.run(store.restore_chat, chat_id)
        self._deleted = ""
        await self.open_chat(chat_id)
        await self.refresh_list()

    async def action_pin_chat(self) -> None:
        """Pin or unpin the open chat."""
        await self.pin(self.chat_id)

    async def pin(self, chat_id: str) -> None:
        """List a chat before the others, or no longer."""
        store = await self.store()
        chat = await store.run(store.chat, chat_id) if chat_id else None
        if chat is not None:
            await store.run(store.pin_chat, chat_id, not chat.pinned)
            await self.refresh_list()

    @work(group="tags")
    async def action_tag_chat(self) -> None:
        """Set the tags of the open chat."""
        store = await self.store()
        chat = await store.run(store.chat, self.chat_id) if self.chat_id else None
        if chat is None:
            self.face.tell("A new chat can have tags after its first message.")
            return
        text = await self.answer_for("Tags, separated by spaces", " ".join(chat.tags))
        if text is not None:
            await store.run(store.tag_chat, chat.id, text.replace(",", " ").replace("#", " ").split())
            await self.refresh_list()

    @work(group="search")
    async def action_search_chats(self) -> None:
        """Full-text search over all chats; choosing a hit opens its chat there."""
        from llmos.tui.screens.picker import Pick, Picker

        store = await self.store()
        clean = self.face.clean

        async def find(text: str) -> list[Pick]:
            if not text.strip():
                chats = await store.run(lambda: store.list_chats(limit=50))
                return [Pick(f"{chat.id}:", clean(chat.title) or "New chat") for chat in chats]
            hits = await store.run(lambda: store.search(text, limit=50))
            return [
                Pick(
                    f"{hit.chat.id}:{hit.message.id}",
                    clean(hit.chat.title) or "New chat",
                    " ".join(clean(hit.snippet.replace("\x02", "").replace("\x03", "")).split()),
                )
                for hit in hits
            ]

        chosen = await self.app.push_screen_wait(Picker("Search all chats", find, placeholder="Words"))
        if chosen:
            chat_id, _, message_id = chosen.partition(":")
            await self.open_chat(chat_id)
            self.go_to_message(message_id)

    def go_to_message(self, message_id: str) -> None:
        """Put the block cursor on a message, if it is mounted."""
        for block in self.transcript.blocks:
            if message_id and block.message_id == message_id:
                self.transcript.focus()
                self.call_after_refresh(self.transcript.place_cursor, block)
                return

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """The search field in the transcript."""
        if event.input.id == "find-input":
            event.stop()
            self.find_next(event.value)
