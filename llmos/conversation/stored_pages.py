"""Pages of a chat that is not open: what its window would be, read from the store."""

from __future__ import annotations

from typing import Any

from llmos.conversation.store import Store
from llmos.conversation.window import Window, estimate_tokens, shown_text
from llmos.types import Page


class StoredPages:
    """Reads a chat's pages; the last chat is kept, for a memory map looks every other second.

    Args:
        store: where the chats are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._key: tuple[Any, ...] = ()
        self._pages: list[Page] = []

    def pages(self, chat_id: str) -> list[Page]:
        """Pages in the window, in reading order, then those swapped out; lengths are estimates.

        Every page of the current branch is in the list exactly once. An unknown chat has none.
        """
        chat = self._store.chat(chat_id)
        if chat is None:
            return []
        states = self._store.page_states(chat_id)
        key = (chat_id, chat.leaf_id, tuple(states.values()))
        if key != self._key:
            self._key, self._pages = key, self._read(chat_id)
        return list(self._pages)

    def _read(self, chat_id: str) -> list[Page]:
        states = self._store.page_states(chat_id)
        shadow = Window(chat_id)
        window: list[Page] = []
        swapped: list[Page] = []
        for message in self._store.branch(chat_id):
            slot = shadow.append(message, states)
            if message.role == "assistant" and not message.content and not message.tool_calls:
                continue
            for page in (*slot.attached, slot.page):
                page.tokens = page.tokens or estimate_tokens(shown_text(page))
                (window if page.where == "window" else swapped).append(page)
        return [*window, *swapped]
