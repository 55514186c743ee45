"""Which messages of a chat are indexed, and which of them lie on its current branch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llmos.types import Message
from llmos_ram.store import RamStore

#: Messages that are looked at first when a chat went on; each further look takes eight times as many.
_LOOK = 4


class ChatRows:
    """Rows of one chat, kept up to date turn by turn: a turn costs no more in a long chat.

    Args:
        store: the indexed pages.
        chat_id: the chat.

    Attributes:
        known: row of every indexed message, by its id.
        branch: rows on the current branch.
        leaf: id of the last message of the branch, as far as it was followed.
    """

    def __init__(self, store: RamStore, chat_id: str) -> None:
        self.chat_id = chat_id
        self.known = store.known_messages(chat_id)
        self.branch: set[int] = set()
        self.leaf: str | None = None

    def follow(
        self, messages: Sequence[Message], leaf: str | None, index: Callable[[Sequence[Message]], list[int]]
    ) -> None:
        """Take in what was said since the last time.

        Args:
            messages: of the branch, oldest first; only their end is read where that is enough.
            leaf: id of the last of them, where it is known.
            index: indexes messages and gives their rows.
        """
        if leaf is not None and leaf == self.leaf:
            return
        if self.leaf is not None:
            take = _LOOK
            while True:
                tail = list(messages[-take:])
                place = next((at for at, one in enumerate(tail) if one.id == self.leaf), None)
                if place is not None:
                    self.go_on(tail[place + 1 :], index)
                    return
                if len(tail) < take:
                    break
                take *= 8
        self.branch, self.leaf = set(), None
        self.go_on(list(messages), index)

    def go_on(self, messages: Sequence[Message], index: Callable[[Sequence[Message]], list[int]]) -> None:
        """The branch grew by these messages."""
        if messages:
            self.branch.update(index(messages))
            self.leaf = messages[-1].id
