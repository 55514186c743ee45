"""A tab that shows a panel of a plugin."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from textual.app import ComposeResult

from llmos.tui.backend import PanelOffer
from llmos.tui.screens.base import TabScreen
from llmos.tui.tabs import Tab
from llmos.tui.widgets.panel import PanelView


class PanelScreen(TabScreen):
    """Draws the panel anew every ``refresh`` seconds while it is the open tab."""

    CSS_PATH = "panel.tcss"

    def __init__(self, offer: PanelOffer) -> None:
        super().__init__()
        self._offer = offer

    def compose_body(self) -> ComposeResult:
        """The view."""
        yield PanelView(self.face.clean, id="panel")

    async def on_mount(self) -> None:
        """First view, then by the clock."""
        self.query_one("#panel").focus()
        await self.refresh_panel()
        if self._offer.refresh > 0:
            self.set_interval(max(self._offer.refresh, 0.5), self.refresh_panel)

    async def on_screen_resume(self) -> None:
        """The tab is open again."""
        await self.refresh_panel()

    async def refresh_panel(self) -> None:
        """Ask the plugin for its elements."""
        backend = self.face.backend
        if backend is None or not self.is_current:
            return
        elements = await backend.panel_view(self._offer.plugin, self._offer.id)
        await self.query_one("#panel", PanelView).show(elements)

    async def on_panel_view_acted(self, event: PanelView.Acted) -> None:
        """Hand an action to the plugin; its text becomes a notice."""
        event.stop()
        backend = self.face.backend
        if backend is None:
            return
        text = await backend.panel_act(self._offer.plugin, self._offer.id, event.action, event.value)
        if text:
            self.face.tell(text)
        await self.refresh_panel()


def panel_tabs(offers: Sequence[PanelOffer]) -> list[Tab]:
    """Tabs for the panels that want one."""
    return [
        Tab(f"{offer.plugin}-{offer.id}", offer.title, make=partial(PanelScreen, offer))
        for offer in offers
        if offer.place == "tab"
    ]
