"""The palette: every action, command, tab and chat by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmos.tui.actions import ACTIONS, action_by_id, keys_of
from llmos.tui.screens.picker import Pick, Picker

if TYPE_CHECKING:
    from llmos.tui.app import LlmosApp


def palette_picks(face: LlmosApp) -> list[Pick]:
    """Rows of the palette."""
    picks = [
        Pick(f"action:{action.id}", action.description, keys_of(action, face.options.keys))
        for action in ACTIONS
        if action.palette and (action.scope == "app" or hasattr(face.screen, "chat_id"))
    ]
    picks += [Pick(f"tab:{tab.id}", f"Open the tab {face.clean(tab.title) or tab.title}") for tab in face.tabs]
    if face.backend is not None:
        picks += [
            Pick(f"command:{command.name}", f"/{command.name}", face.clean(command.help))
            for command in face.backend.commands()
        ]
    return picks


def open_palette(face: LlmosApp) -> None:
    """Show the palette and do what is chosen."""

    async def choose() -> None:
        chosen = await face.push_screen_wait(Picker("What do you want to do?", palette_picks(face)))
        if chosen is None:
            return
        kind, _, name = chosen.partition(":")
        if kind == "tab":
            face.open_tab(name)
        elif kind == "command":
            screen = face.screen
            if hasattr(screen, "prompt"):
                screen.prompt.set_text(f"/{name} ")
                screen.prompt.focus()
        elif (action := action_by_id(name)) is not None:
            owner = "app" if action.scope == "app" else "screen"
            if action.scope == "prompt":
                target = getattr(face.screen, "prompt", None)
                await face.run_action(action.call, target if action.id == "prompt.editor" else face.screen)
            else:
                await face.run_action(f"{owner}.{action.call}")

    face.run_worker(choose(), group="palette", exclusive=True)
