"""What is written and not sent, on its way to the store: drafts of chats, and the prompt's history.

Noting is immediate and in memory; ``write`` stores everything noted, and is called soon after the last
key, when a chat is left, and when the program ends.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmos.conversation.store import Store

#: Keys among the drafts: what was sent or set aside before, and what the prompt replaced for now.
HISTORY_KEY = "prompt-history"
ASIDE_KEY = "prompt-aside"
#: Texts of the history that are stored, as long as they are no more characters than these.
HISTORY_LENGTH = 1_000
HISTORY_CHARACTERS = 1_000_000
#: So many are stored however long they are.
HISTORY_LEAST = 200


class Drafts:
    """Texts by the key under which they are stored.

    Attributes:
        pending: noted and not stored yet; an empty text forgets what is stored.
    """

    def __init__(self) -> None:
        self.pending: dict[str, str] = {}
        self._loaded = False
        self._earlier: list[str] = []
        self._aside: list[str] = []
        self._new_history = self._new_aside = False

    def note(self, key: str, text: str) -> None:
        """What is written under a key now."""
        self.pending[key] = text

    def note_history(self, earlier: Sequence[str], aside: Sequence[str]) -> None:
        """What was sent or set aside before, and what is out of the prompt only for now."""
        last = latest(earlier)
        if last != self._earlier:
            self._earlier, self._new_history = last, True
        if list(aside) != self._aside:
            self._aside, self._new_aside = list(aside), True

    async def draft(self, store: Store, key: str) -> str:
        """What was written under a key and not sent."""
        stored = await store.run(store.draft, key)
        # Asked last: it may have been noted while the store was read.
        return self.pending.get(key, stored)

    async def load_history(self, store: Store, present: Sequence[str]) -> list[str]:
        """The history of earlier runs, without what is in the present one already."""

        def read() -> list[str]:
            history = _texts(store, HISTORY_KEY)
            return history + [one for one in _texts(store, ASIDE_KEY) if one not in history]

        stored = await store.run(read)
        self._loaded = True
        # What was aside is history now.
        self._new_aside = True
        return [one for one in stored if one not in present]

    async def write(self, store: Store) -> None:
        """Store everything that was noted; what could not be stored stays noted."""
        texts, self.pending = self.pending, {}
        history, self._new_history = self._new_history, False
        aside, self._new_aside = self._new_aside, False
        earlier, beside, merge = list(self._earlier), list(self._aside), not self._loaded

        def write() -> None:
            with store.database.transaction():
                for key, text in texts.items():
                    store.save_draft(key, text)
                if history:
                    # Before it is read, the history of earlier runs is not part of the present one.
                    old = [one for one in _texts(store, HISTORY_KEY) if one not in earlier] if merge else []
                    store.save_draft(HISTORY_KEY, json.dumps(latest(old + earlier)))
                if aside:
                    old = [one for one in _texts(store, ASIDE_KEY) if one not in beside] if merge else []
                    store.save_draft(ASIDE_KEY, json.dumps(old + beside) if old + beside else "")

        if not (texts or history or aside):
            return
        try:
            await store.run(write)
        except BaseException:
            self.pending = {**texts, **self.pending}
            self._new_history |= history
            self._new_aside |= aside
            raise


def latest(texts: Sequence[str]) -> list[str]:
    """What of a history is stored: its end."""
    count = characters = 0
    for text in reversed(texts[-HISTORY_LENGTH:]):
        characters += len(text)
        if count >= HISTORY_LEAST and characters > HISTORY_CHARACTERS:
            break
        count += 1
    return list(texts[len(texts) - count :])


def _texts(store: Store, key: str) -> list[str]:
    """A stored list of texts; empty where there is none."""
    try:
        found = json.loads(store.draft(key) or "[]")
    except ValueError:
        return []
    return [str(one) for one in found] if isinstance(found, list) else []
