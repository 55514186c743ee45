"""A conversation as the guard, the plugins and the face look at it."""

from __future__ import annotations

from collections.abc import Sequence

from llmos.conversation.ports import Plugins
from llmos.conversation.window import Window
from llmos.guard.api import GuardApi, WindowState
from llmos.types import Labels, ToolSpec


class ViewMixin:
    """What others want to know of a conversation."""

    chat_id: str
    window: Window
    guard: GuardApi
    plugins: Plugins
    face_can_ask: bool
    preapproved: frozenset[str]
    _user_texts: list[str]
    _result_urls: list[str]

    def model_changed(self) -> None:
        """Another model is loaded: lengths in its tokens are not known yet."""
        self.window.fixed_tokens = 0
        for page in self.window.pages:
            page.tokens = 0

    def window_state(self, tools: Sequence[ToolSpec] = ()) -> WindowState:
        """The window as the guard sees it."""
        return WindowState(
            chat_id=self.chat_id,
            pages=self.window.pages,
            user_texts=self._user_texts,
            result_urls=self._result_urls,
            face_can_ask=self.face_can_ask,
            preapproved=self.preapproved,
            tools=tools,
        )

    def labels(self) -> Labels:
        """Joined labels of all that the model reads: the window and descriptions of tools."""
        return self.guard.label_answer(self.window_state(self.plugins.tools()))
