"""A tool's result as its plugin draws it: elements below the call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from llmos.tui.widgets.panel import PanelView

if TYPE_CHECKING:
    from llmos.plugins.contributions import Element


class ResultView(PanelView, can_focus=False):
    """As high as its elements; the transcript scrolls."""

    DEFAULT_CSS = """
    ResultView { height: auto; max-height: 30; margin: 0 2 1 3; overflow-x: hidden; }
    ResultView TranscriptBlock { margin: 0; padding: 0; border: none; }
    ResultView DataTable { height: auto; max-height: 14; }
    ResultView .element-title { text-style: bold; height: auto; }
    """

    def __init__(self, elements: Sequence[Element], clean: Callable[[str], str]) -> None:
        super().__init__(clean)
        self._elements = elements

    async def on_mount(self) -> None:
        """Draw once."""
        await self.show(self._elements)
