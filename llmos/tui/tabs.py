"""The tabs of the program: one line each; a screen is imported when its tab is first opened.

To add one, subclass ``llmos.tui.screens.base.TabScreen``, write its ``compose_body`` and add a
line here. Panels of plugins are added at run time by ``llmos.tui.panel_tabs``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmos.tui.screens.base import TabScreen


@dataclass(frozen=True, slots=True)
class Tab:
    """One tab.

    Attributes:
        id: identifier, also the name of the Textual mode.
        title: what the tab bar shows.
        target: ``module:Class`` of the screen, or empty when ``make`` builds it.
        make: builds the screen (panels of plugins).
    """

    id: str
    title: str
    target: str = ""
    make: Callable[[], TabScreen] | None = None

    def screen(self) -> TabScreen:
        """Build the tab's screen, importing its module now."""
        if self.make is not None:
            return self.make()
        from importlib import import_module

        module, _, name = self.target.partition(":")
        factory: Any = getattr(import_module(module), name)
        screen: TabScreen = factory()
        return screen


#: In the order of the tab bar.
TABS: tuple[Tab, ...] = (
    Tab("chat", "Chat", "llmos.tui.screens.chat:ChatScreen"),
    Tab("build", "Build", "llmos.tui.screens.build:BuildScreen"),
    Tab("models", "Models", "llmos.tui.screens.models:ModelsScreen"),
    Tab("plugins", "Plugins", "llmos.tui.screens.plugins:PluginsScreen"),
    Tab("settings", "Settings", "llmos.tui.screens.settings:SettingsScreen"),
)
