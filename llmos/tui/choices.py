"""Choosing colours, the model and whether the network may be used; kept in the settings file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmos.tui import themes
from llmos.tui.screens.picker import Pick, Picker
from llmos.types import UserError

if TYPE_CHECKING:
    from llmos.tui.app import LlmosApp


def set_theme(face: LlmosApp, name: str) -> None:
    """Use a theme from now on."""
    if name not in themes.offered():
        face.tell(f"No theme is called {name!r}; there are {', '.join(themes.offered())}.", "warning")
        return
    face.theme = themes.resolve(name)
    keep(face, "face", "theme", name)


def pick_theme(face: LlmosApp) -> None:
    """Choose the colours; each is shown while it is highlighted."""
    before = face.theme

    def preview(name: str) -> None:
        face.theme = themes.resolve(name)

    async def choose() -> None:
        picks = [
            Pick(name, name, "the terminal's own colours" if name in themes.TERMINAL else "")
            for name in themes.offered()
        ]
        name = await face.push_screen_wait(Picker("Colours", picks, on_highlight=preview))
        if name is None:
            face.theme = before
        else:
            set_theme(face, name)

    face.run_worker(choose(), group="theme", exclusive=True)


def pick_model(face: LlmosApp) -> None:
    """Choose among local models, or type a path."""

    async def choose() -> None:
        try:
            backend = await face.ready()
            models = await backend.models()
        except UserError as error:
            face.tell(str(error), "error")
            return
        picks = [Pick(one.name, face.clean(one.label), face.clean(one.detail)) for one in models]
        picker = Picker("Model", picks, placeholder="Name, or a path to a GGUF file", free=True)
        name = await face.push_screen_wait(picker)
        if name:
            name = name.removeprefix("text:")
            await face.load_model(name)
            if face.figures.state == "ready":
                keep(face, "model", "name", name)

    face.run_worker(choose(), group="model", exclusive=True)


def toggle_offline(face: LlmosApp) -> None:
    """Switch the network off or on."""
    from llmos.settings import load_settings

    try:
        offline = not load_settings().offline
    except UserError as error:
        face.tell(str(error), "error")
        return
    keep(face, "", "offline", offline)
    if face.backend is not None:
        face.backend.set_offline(offline)
    face.tell("The network is switched off." if offline else "The network may be used.")


def keep(face: LlmosApp, section: str, name: str, value: object) -> None:
    """Write one setting to the user's file; say so when that fails."""
    from llmos.settings import folders
    from llmos.tui.settings_file import write_setting

    try:
        write_setting(folders().settings_file, section, name, value)
    except UserError as error:
        face.tell(str(error), "warning")
