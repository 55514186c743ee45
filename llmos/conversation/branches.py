"""Moving about in the tree of a chat's messages, and what the user does to single pages."""

from __future__ import annotations

import time
from dataclasses import replace

from llmos.conversation.errors import Busy
from llmos.conversation.records import Chat, PageState
from llmos.conversation.store import Store
from llmos.conversation.window import Window, estimate_tokens, shown_text
from llmos.types import USER_LABELS, Message, Page, UserError, new_id


class BranchMixin:
    """Branch methods of a conversation; synchronous work runs on the store's thread."""

    chat_id: str
    store: Store
    window: Window
    _swapped: list[Page] | None

    @property
    def busy(self) -> bool:
        """True while an answer is being written."""
        raise NotImplementedError

    async def open(self) -> list[Message]:
        """Read the chat anew."""
        raise NotImplementedError

    async def messages(self) -> list[Message]:
        """Messages of the current branch, oldest first, evicted ones too."""
        return await self.store.run(self.store.branch, self.chat_id)

    async def siblings(self, message_id: str) -> list[Message]:
        """A message and its alternatives, oldest first."""
        message = await self.store.run(self.store.message, message_id)
        if message is None:
            return []
        return await self.store.run(self.store.children, self.chat_id, message.parent_id)

    async def switch(self, message_id: str) -> list[Message]:
        """Make the branch that goes through a message the current one; returns its messages."""
        self._refuse_while_busy()
        leaf = await self.store.run(self.store.last_descendant, message_id)
        await self.store.run(self.store.set_leaf, self.chat_id, leaf)
        return await self.open()

    async def step_sibling(self, message_id: str, step: int) -> list[Message]:
        """Switch to the next (1) or previous (-1) alternative of a message, going round."""
        alternatives = [one.id for one in await self.siblings(message_id)]
        if len(alternatives) < 2:
            return await self.messages()
        return await self.switch(alternatives[(alternatives.index(message_id) + step) % len(alternatives)])

    async def rewrite(self, message_id: str, text: str) -> list[Message]:
        """Put a changed version beside any message without generating; returns the new branch.

        The user wrote it, but from what was there: labels of the old message stay joined.
        """
        self._refuse_while_busy()
        old = await self.store.run(self.store.message, message_id)
        if old is None or old.role not in ("user", "assistant"):
            raise UserError("This message cannot be edited.")
        new = replace(
            old,
            id=new_id(),
            content=text,
            thinking="",
            tool_calls=(),
            labels=old.labels.join(USER_LABELS),
            status="complete",
            created_at=time.time(),
            stats={"edited": True},
        )
        await self.store.run(self.store.add_message, new)
        return await self.open()

    async def fork(self, message_id: str = "") -> Chat:
        """A new chat with the messages up to (and with) one; empty takes the whole branch."""
        return await self.store.run(self._fork, message_id)

    def _fork(self, message_id: str) -> Chat:
        source = self.store.chat(self.chat_id)
        messages = self.store.branch(self.chat_id, message_id or None)
        if not messages:
            raise UserError("There is nothing to fork; the chat is empty.")
        title = f"{source.title} (fork)" if source and source.title else ""
        with self.store.database.transaction():
            chat = self.store.create_chat()
            if title:
                self.store.rename_chat(chat.id, title, by="auto")
            for key, value in self.store.chat_settings(self.chat_id).items():
                self.store.set_chat_setting(chat.id, key, value)
            states = self.store.page_states(self.chat_id)
            copies: list[PageState] = []
            parent: str | None = None
            for message in messages:
                fresh = replace(message, id=new_id(), chat_id=chat.id, parent_id=parent)
                self.store.add_message(fresh)
                parent = fresh.id
                if message.id in states:
                    copies.append(replace(states[message.id], page_id=fresh.id))
                copies.extend(states[page.id] for page in message.pages if page.id in states)
            self.store.set_page_states(chat.id, copies)
        return self.store.chat(chat.id) or chat

    def _question_of(self, message_id: str) -> Message:
        """The user's message that an answer belongs to.

        Raises:
            UserError: there is none.
        """
        if message_id:
            message = self.store.message(message_id)
        else:
            last = self.store.branch(self.chat_id, limit=1)
            message = last[0] if last else None
        while message is not None and message.role != "user":
            message = self.store.message(message.parent_id) if message.parent_id else None
        if message is None or message.chat_id != self.chat_id:
            raise UserError("There is no message to answer again.")
        return message

    # -- pages -----------------------------------------------------------------------------

    async def pages(self) -> list[Page]:
        """Pages in the window, in reading order, then those swapped out, oldest first."""
        return [*self.window.pages, *await self.store.run(self.swapped)]

    def swapped(self) -> list[Page]:
        """Pages of the branch that were evicted, oldest first.

        Read once and then kept up to date: a memory map looks every other second.
        """
        if self._swapped is None:
            self._swapped = self._read_swapped()
        return list(self._swapped)

    def _read_swapped(self) -> list[Page]:
        states = self.store.page_states(self.chat_id)
        if not any(state.swapped for state in states.values()):
            return []
        shadow = Window(self.chat_id)
        found: list[Page] = []
        for message in self.store.branch(self.chat_id):
            slot = shadow.append(message, states)
            for page in (*slot.attached, slot.page):
                if page.where == "swapped":
                    page.tokens = page.tokens or estimate_tokens(shown_text(page))
                    found.append(page)
        return found

    def note_evicted(self, pages: list[Page]) -> None:
        """Keep the list of evicted pages up to date."""
        if self._swapped is not None:
            self._swapped.extend(pages)

    async def pin_page(self, page_id: str, pinned: bool = True) -> None:
        """Keep a page in the window for good, or no longer; an evicted one comes back to its place."""
        page = self.window.page(page_id)
        state = PageState(page_id, False, pinned, time.time())
        if page is not None and page.where == "window":
            page.pinned = pinned
            await self.store.run(self.store.set_page_states, self.chat_id, [state])
            return
        self._refuse_while_busy()
        await self.store.run(self.store.set_page_states, self.chat_id, [replace(state, swapped=not pinned)])
        await self.open()

    async def evict_page(self, page_id: str) -> list[Page]:
        """Take a page out of the window by hand; returns what left (nothing for a pinned one)."""
        self._refuse_while_busy()
        candidates = self.window.candidates("")
        if not any(page.id == page_id for page in candidates):
            return []
        gone = self.window.evict([page_id], 1, candidates, "")
        self.note_evicted(gone)
        await self.store.run(self.store.set_page_states, self.chat_id, self.window.states(gone))
        return gone

    def _refuse_while_busy(self) -> None:
        if self.busy:
            raise Busy
