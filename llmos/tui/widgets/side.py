"""The side panel: the side panels of plugins, one below the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from llmos.tui.widgets.panel import PanelView

if TYPE_CHECKING:
    from llmos.tui.app import LlmosApp
    from llmos.tui.backend import PanelOffer


class SidePanel(Vertical):
    """Draws every panel anew in its own rhythm while it can be seen."""

    DEFAULT_CSS = """
    SidePanel { width: 40; height: 1fr; background: $surface; padding: 0 1; }
    SidePanel.-overlay { layer: overlay; dock: right; max-width: 90%; }
    SidePanel .element-title { text-style: bold; color: $text-primary; height: auto; }
    SidePanel PanelView { height: 1fr; background: $surface; }
    SidePanel TranscriptBlock { margin: 0 0 1 0; padding: 0; border: none; }
    """

    def __init__(self, panels: Sequence[PanelOffer], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._panels = list(panels)

    @property
    def face(self) -> LlmosApp:
        """The running program."""
        return cast("LlmosApp", self.app)

    def compose(self) -> ComposeResult:
        """A title and a view a panel."""
        for number, panel in enumerate(self._panels):
            yield Static(panel.title, classes="element-title", markup=False)
            yield PanelView(self.face.clean, id=f"side-{number}")

    async def on_mount(self) -> None:
        """First view, then by the clock."""
        for number, panel in enumerate(self._panels):
            await self.refresh_panel(number)
            if panel.refresh > 0:
                self.set_interval(max(panel.refresh, 0.5), lambda number=number: self.refresh_panel(number))

    async def refresh_panel(self, number: int) -> None:
        """Ask a panel for its elements."""
        backend = self.face.backend
        if backend is None or not self.display:
            return
        panel = self._panels[number]
        elements = await backend.panel_view(panel.plugin, panel.id)
        await self.query_one(f"#side-{number}", PanelView).show(elements)

    async def on_panel_view_acted(self, event: PanelView.Acted) -> None:
        """Hand an action to its panel."""
        event.stop()
        backend = self.face.backend
        number = int((event.view.id or "side-0").removeprefix("side-"))
        if backend is not None:
            panel = self._panels[number]
            if text := await backend.panel_act(panel.plugin, panel.id, event.action, event.value):
                self.face.tell(text)
            await self.refresh_panel(number)
