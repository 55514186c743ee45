"""The messages of a branch, read from the store only when somebody looks at them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from llmos.conversation.store import Store
from llmos.types import Message


class LazyMessages(Sequence[Message]):
    """Messages from the root to a leaf, oldest first.

    A turn hands these to plugins: most never look, and a chat may have ten thousand of them. Looking
    at the end (``messages[-1]``, ``messages[-20:]``) reads the end alone.

    Args:
        store: where they are.
        chat_id: the chat.
        leaf: the last of them; None for an empty sequence.
    """

    def __init__(self, store: Store, chat_id: str, leaf: str | None) -> None:
        self._store = store
        self._chat_id = chat_id
        self._leaf = leaf
        self._loaded: list[Message] | None = None
        self._tail: list[Message] = []

    def _all(self) -> list[Message]:
        if self._loaded is None:
            self._loaded = self._store.branch(self._chat_id, self._leaf) if self._leaf else []
        return self._loaded

    def _end(self, count: int) -> list[Message]:
        """The last ``count`` messages, fewer where the chat has fewer."""
        if self._loaded is not None or self._leaf is None:
            return self._all()[-count:]
        if len(self._tail) < count:
            self._tail = self._store.branch(self._chat_id, self._leaf, limit=count)
        return self._tail[-count:]

    def __len__(self) -> int:
        return len(self._all())

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Message]: ...
    def __getitem__(self, index: int | slice) -> Message | Sequence[Message]:
        if isinstance(index, slice):
            start, stop, step = index.start, index.stop, index.step
            if start is not None and start < 0 and stop is None and step in (None, 1):
                return self._end(-start)
        elif index < 0:
            return self._end(-index)[index]
        return self._all()[index]
