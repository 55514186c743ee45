"""Colour themes: two of the program's own, two of high contrast, the terminal's own colours.

Every theme on offer keeps to WCAG AA (contrast 4.5 to 1) for text; a test measures it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.theme import Theme

if TYPE_CHECKING:
    from textual.app import App

DEFAULT = "llmos-dark"


def _scrollbar(bar: str, ground: str, active: str) -> dict[str, str]:
    """Scrollbars that stay in the background until they are touched."""
    return {
        "scrollbar": bar,
        "scrollbar-hover": active,
        "scrollbar-active": active,
        "scrollbar-background": ground,
        "scrollbar-background-hover": ground,
        "scrollbar-background-active": ground,
        "scrollbar-corner-color": ground,
    }


def _marked(ground: str, text: str) -> dict[str, str]:
    """The chosen row of a list, with and without the focus."""
    return {
        "block-cursor-background": ground,
        "block-cursor-foreground": text,
        "block-cursor-text-style": "bold",
        "block-cursor-blurred-background": ground,
        "block-cursor-blurred-foreground": text,
        "block-cursor-blurred-text-style": "bold",
        "block-hover-background": ground,
    }


THEMES: tuple[Theme, ...] = (
    Theme(
        name="llmos-dark",
        primary="#7aa2f7",
        secondary="#bb9af7",
        accent="#e0af68",
        warning="#e0af68",
        error="#f7768e",
        success="#9ece6a",
        foreground="#d5d9e8",
        background="#14161d",
        surface="#1b1e28",
        panel="#242836",
        dark=True,
        variables={
            **_scrollbar("#242836", "#14161d", "#7aa2f7"),
            "text-muted": "#9aa1b9",
            **_marked("#2c3245", "#ffffff"),
        },
    ),
    Theme(
        name="llmos-light",
        primary="#1d4fc4",
        secondary="#6b3fa0",
        accent="#8a4b00",
        warning="#8a4b00",
        error="#b3123a",
        success="#1f6b2c",
        foreground="#1b1e28",
        background="#fbfbfd",
        surface="#f0f1f5",
        panel="#e4e6ee",
        dark=False,
        variables={
            **_scrollbar("#c9cddb", "#fbfbfd", "#1d4fc4"),
            "text-muted": "#555b6e",
            **_marked("#d5dcf0", "#000000"),
        },
    ),
    Theme(
        name="high-contrast",
        primary="#ffff00",
        secondary="#00ffff",
        accent="#ffb000",
        warning="#ffb000",
        error="#ff8080",
        success="#00ff66",
        foreground="#ffffff",
        background="#000000",
        surface="#000000",
        panel="#202020",
        dark=True,
        variables={
            **_scrollbar("#808080", "#000000", "#ffff00"),
            "text-muted": "#e0e0e0",
            **_marked("#003a6b", "#ffffff"),
        },
    ),
    Theme(
        name="high-contrast-light",
        primary="#0000aa",
        secondary="#550055",
        accent="#7a2e00",
        warning="#7a2e00",
        error="#990000",
        success="#004d00",
        foreground="#000000",
        background="#ffffff",
        surface="#ffffff",
        panel="#e8e8e8",
        dark=False,
        variables={
            **_scrollbar("#808080", "#ffffff", "#0000aa"),
            "text-muted": "#303030",
            **_marked("#ffe680", "#000000"),
        },
    ),
)

#: Themes of the library that are offered as well.
BORROWED: tuple[str, ...] = (
    "textual-dark",
    "gruvbox",
    "dracula",
    "monokai",
    "rose-pine",
    "flexoki",
)

#: Names people choose for the terminal's own colours, on a dark and on a light ground.
TERMINAL = {"terminal": "ansi-dark", "terminal-light": "ansi-light"}


def register(app: App[None]) -> None:
    """Make the program's themes known to the app."""
    for theme in THEMES:
        app.register_theme(theme)


def resolve(name: str) -> str:
    """The name that the app knows a theme by; unknown names give the default."""
    if name in TERMINAL:
        return TERMINAL[name]
    if name in offered():
        return name
    return DEFAULT


def offered() -> list[str]:
    """Names for the picker."""
    return [*(theme.name for theme in THEMES), *TERMINAL, *BORROWED]
