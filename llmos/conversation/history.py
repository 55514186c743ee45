"""The messages of a branch, read from the store only when somebody looks at them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from llmos.conversation.store import Store
from llmos.types import Message


class LazyMessages(Sequence[Message]):
    """Messages from the root to a leaf, oldest first.

    A turn hands these to plugins: most never look, and a chat may have ten thousand of them.

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

    def _all(self) -> list[Message]:
        if self._loaded is None:
            self._loaded = self._store.branch(self._chat_id, self._leaf) if self._leaf else []
        return self._loaded

    def __len__(self) -> int:
        return len(self._all())

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Message]: ...
    def __getitem__(self, index: int | slice) -> Message | Sequence[Message]:
        return self._all()[index]
