"""What is written in the prompt is kept: drafts of chats, and the history that Up goes through."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

from textual import work

from llmos.tui.screens.chat_base import ChatBase

if TYPE_CHECKING:
    from textual.timer import Timer
    from textual.widgets import TextArea

#: Seconds after the last key press until a draft is stored.
DRAFT_SECONDS = 0.6
#: Seconds after which it is stored in any case: one who types on without a pause loses no more.
LONGEST_SECONDS = 5.0
#: Key of the draft of a chat that is not stored yet.
NEW = "new"


class DraftActions(ChatBase):
    """The text of the prompt through changes of the chat, and into the store."""

    _draft_timer: Timer | None = None
    _unsaved_since = 0.0
    _began = False

    def __init__(self) -> None:
        super().__init__()
        self._storing = asyncio.Lock()

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Keep what is typed, soon after the last key press."""
        if event.text_area is not self.prompt:
            return
        if self.face.backend is not None:
            self.face.backend.typed()
        self.keep_draft()

    def keep_draft(self) -> None:
        """Note what is written, and store it when no key is pressed for a moment."""
        self.note_draft()
        if self._draft_timer is None:
            self._unsaved_since = monotonic()
        elif monotonic() - self._unsaved_since > LONGEST_SECONDS:
            return
        else:
            self._draft_timer.stop()
        self._draft_timer = self.set_timer(DRAFT_SECONDS, self.save_draft)

    def note_draft(self) -> None:
        """Note what is written now, as the draft of the open chat and beside it."""
        prompt = self.prompt
        aside = prompt.set_aside
        if self.editing or not self._began:
            # An edit is no draft of the chat; and the chat that will be open has one of its own.
            aside = [*aside, prompt.full_text]
        if self._began:
            text = self.unsent if self.editing else prompt.draft
            self.face.drafts.note(self.chat_id or NEW, text)
        self.face.drafts.note_history(prompt.earlier, [one for one in aside if one.strip()])

    async def save_draft(self) -> None:
        """Store what is typed but not sent."""
        if self._draft_timer is not None:
            self._draft_timer.stop()
            self._draft_timer = None
        if self.face.backend is not None:
            await self.face.drafts.write(self.face.backend.store)

    def change_chat(self, chat_id: str, draft: str) -> None:
        """The prompt goes over to another chat; at once, so that no key falls between them.

        Args:
            chat_id: the chat; empty: a new one.
            draft: what was written there.
        """
        prompt = self.prompt
        if not self._began:
            self._began = True
            self.chat_id = chat_id
            if not prompt.full_text.strip():
                prompt.set_text(draft)
            else:
                # What was typed while the program was starting is worth more than a draft.
                prompt.add_earlier(draft)
        elif chat_id == self.chat_id:
            unsent = self.unsent
            if self.editing:
                self.stop_editing()
                prompt.put_back(unsent)
        else:
            self.note_draft()
            self.stop_editing()
            self.chat_id = chat_id
            self.view += 1
            prompt.set_text(draft)
        self.keep_draft()

    async def stored_chat(self, view: int | None = None, title: str = "") -> str:
        """Id of the chat of a view; a new one is stored now.

        Args:
            view: which one was open when it was asked for; None: the present one.
            title: of a new chat.
        """
        view = self.view if view is None else view
        async with self._storing:
            if view == self.view and self.chat_id:
                return self.chat_id
            store = await self.store()
            chat = await store.run(store.create_chat)
            if title:
                await store.run(lambda: store.rename_chat(chat.id, title, by="auto"))
            if view == self.view:
                self.chat_id = chat.id
                # What is in the prompt goes along.
                self.face.drafts.note(NEW, "")
                self.keep_draft()
                self.set_chat_title(title)
            return chat.id

    def give_back(self, text: str) -> None:
        """A text that could not be sent goes back into the prompt, unless something else is there."""
        if not self.prompt.full_text.strip():
            self.prompt.put_back(text)
        else:
            self.prompt.add_earlier(text)
            self.face.tell("The message was not sent; Up brings it back.", "warning")

    def remember_sent(self) -> None:
        """Store that the prompt was emptied, and the history with what was sent."""
        self.note_draft()
        self.run_worker(self.save_draft(), group="history")

    @work(group="load-history")
    async def load_prompt_history(self) -> None:
        """What was sent in earlier sessions."""
        store = await self.store()
        self.prompt.add_before(await self.face.drafts.load_history(store, self.prompt.earlier))
        self.keep_draft()

    def on_unmount(self) -> None:
        """The program ends: what was typed last may not have been noted."""
        if self._prompt is not None:
            self.note_draft()
