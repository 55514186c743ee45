"""Which messages of a chat are indexed, and which of them lie on its current branch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llmos.types import Message
from llmos_ram.store import RamStore

#: Messages that are looked at first when a chat went on; each further look takes eight times as many.
_LOOK = 4
#: How many of the last messages are known by name: a branch that left them less far back than this is
#: followed without reading the chat.
_RECENT = 32


class ChatRows:
    """Rows of one chat, kept up to date turn by turn: a turn costs no more in a long chat.

    Args:
        store: the indexed pages.
        chat_id: the chat.

    Attributes:
        known: row of every indexed message, by its id.
        branch: rows on the current branch.
    """

    def __init__(self, store: RamStore, chat_id: str) -> None:
        self.chat_id = chat_id
        self.known = store.known_messages(chat_id)
        self.branch: set[int] = set()
        self._recent: list[str] = []

    @property
    def leaf(self) -> str | None:
        """Id of the last message of the branch, as far as it was followed."""
        return self._recent[-1] if self._recent else None

    def follow(
        self, messages: Sequence[Message], leaf: str | None, index: Callable[[Sequence[Message]], list[int]]
    ) -> None:
        """Take in what was said since the last time, or on another branch.

        Args:
            messages: of the branch, oldest first; only their end is read where that is enough.
            leaf: id of the last of them, where it is known.
            index: indexes messages and gives their rows.
        """
        if leaf is not None and leaf == self.leaf:
            return
        take = _LOOK
        while self._recent:
            tail = list(messages[-take:])
            ids = {one.id: at for at, one in enumerate(tail)}
            places = reversed(range(len(self._recent)))
            met = next((place for place in places if self._recent[place] in ids), None)
            if met is not None:
                # What comes after it here is not on that branch: another version of an answer, or an
                # answer without a word, which no chat keeps.
                self.branch -= {self.known[one] for one in self._recent[met + 1 :] if one in self.known}
                del self._recent[met + 1 :]
                self.go_on(tail[ids[self._recent[-1]] + 1 :], index)
                return
            if len(tail) < take:
                break
            take *= 8
        self.branch, self._recent = set(), []
        self.go_on(list(messages), index)

    def go_on(self, messages: Sequence[Message], index: Callable[[Sequence[Message]], list[int]]) -> None:
        """The branch grew by these messages."""
        if messages:
            self.branch.update(index(messages))
            self._recent = [*self._recent, *(one.id for one in messages[-_RECENT:])][-_RECENT:]
