"""What every tab's screen has in common: the tab bar above, the status bar below.

Example:
    class ModelsScreen(TabScreen):
        CSS_PATH = "models.tcss"

        def compose_body(self) -> ComposeResult:
            yield DataTable()

``self.face`` is the running ``LlmosApp``; ``self.face.session`` is the conversation session (None
until it is up) and ``self.face.clean`` the function that every foreign text passes before it is drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.screen import Screen

from llmos.tui.widgets.status_bar import StatusBar
from llmos.tui.widgets.tab_bar import TabBar

if TYPE_CHECKING:
    from llmos.tui.app import LlmosApp


class TabScreen(Screen[None]):
    """A tab: override ``compose_body``."""

    @property
    def face(self) -> LlmosApp:
        """The running program."""
        return cast("LlmosApp", self.app)

    def compose(self) -> ComposeResult:
        """Tab bar, body, status bar."""
        tabs, status = TabBar(), StatusBar()
        # Filled before they are mounted, so that the first frame is whole.
        tabs.show(self.face.tab_names, self.face.present_tab)
        status.show(self.face.figures)
        yield tabs
        yield from self.compose_body()
        yield status

    def compose_body(self) -> ComposeResult:
        """The widgets of this tab, between the two bars."""
        yield from ()
