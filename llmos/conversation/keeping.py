"""What a conversation writes to the store around a turn; all of it runs on the store's thread."""

from __future__ import annotations

from typing import Any

from llmos.conversation.intake import clean_input
from llmos.conversation.store import Store
from llmos.types import Message


class KeepingMixin:
    """Writing a user's message, and what the store could not take before."""

    chat_id: str
    store: Store
    _unsaved: list[Message]
    _leaf: str | None
    _given_back: str = ""

    def _store_user(self, user: Message) -> None:
        """The chat (with its first message) and the message, in one commit.

        What the store could not take before (a full disk) goes in first: the message hangs on it.
        """
        with self.store.database.transaction():
            if self.store.chat(self.chat_id) is None:
                self.store.create_chat(chat_id=self.chat_id)
            for message in self._unsaved:
                self.store.save_message(message)
            self.store.add_message(user)
            draft = self.store.draft(self.chat_id)
            if draft == self._given_back or clean_input(draft).strip() == user.content.strip():
                self.store.save_draft(self.chat_id, "")  # any other is the next message already
        self._unsaved.clear()  # only now: a commit that failed has taken nothing

    def _settings_unless_moved(self) -> dict[str, Any] | None:
        """Settings of the chat; None when its branch was moved by a face or by another program."""
        if self._unsaved:
            self._store_unsaved()
        chat = self.store.chat(self.chat_id)
        if chat is not None and chat.leaf_id != self._leaf:
            return None
        return self.store.chat_settings(self.chat_id)

    def _store_unsaved(self) -> None:
        """What the store could not take before, at the end of the conversation."""
        with self.store.database.transaction():
            for message in self._unsaved:
                self.store.save_message(message)
        self._unsaved.clear()

    def _take_back(self, user: Message) -> None:
        """A message that does not fit the window becomes the draft again, before what is written since."""
        with self.store.database.transaction():
            since = self.store.draft(self.chat_id)
            draft = f"{user.content}\n{since}" if since.strip() else user.content
            self.store.save_draft(self.chat_id, draft)
            self._given_back = draft
            self.store.delete_message(user.id)
