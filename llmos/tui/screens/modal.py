"""A screen over the others that gives an answer, once."""

from __future__ import annotations

from typing import TypeVar

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen

T = TypeVar("T")


class Modal(ModalScreen[T]):
    """What asks the user something. Keys that came in one go are all handed to it: only the first ends it."""

    def dismiss(self, result: T | None = None) -> AwaitComplete:
        """Give the answer and leave; without effect when it has left, or lies below another screen."""
        if not self.is_active:
            return AwaitComplete()
        return super().dismiss(result)
