"""The Plugins tab on a real manager: states, faults, on and off, settings, install and removal."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input

from llmos.plugins.discovery import _files
from llmos.plugins.manager import PluginManager
from llmos.settings import Folders, folders, load_settings
from llmos.tui.app import LlmosApp
from llmos.tui.screens.plugins import PluginsScreen
from tests.helpers.face import LARGE, SMALL, face, screen_text, wait_until
from tests.helpers.fake_session import FakeBackend

SHOUT = """# /// llmos-plugin
# summary = "Shouts."
# [settings]
# type = "object"
# [settings.properties.loud]
# type = "integer"
# default = 3
# maximum = 9
# description = "How loud."
# ///
from llmos.plugins import hookimpl

@hookimpl
def llmos_context(host, turn):
    raise RuntimeError("too loud")
"""


@pytest.fixture
def where() -> Folders:
    made = folders().make()
    made.plugins.mkdir(parents=True)
    (made.plugins / "shout.py").write_text(SHOUT)
    return made


@pytest.fixture
def backend(where: Folders) -> FakeBackend:
    fake = FakeBackend()
    manager = PluginManager(
        load_settings(), where, notify=lambda text, level: None, finder=lambda: list(_files(where.plugins))
    )
    fake.session = SimpleNamespace(plugins=manager)
    return fake


async def opened(pilot: Pilot[None]) -> PluginsScreen:
    app = pilot.app
    assert isinstance(app, LlmosApp)
    app.open_tab("plugins")
    await wait_until(pilot, lambda: isinstance(app.screen, PluginsScreen))
    screen = app.screen
    assert isinstance(screen, PluginsScreen)
    await wait_until(pilot, lambda: screen.query_one(DataTable).row_count > 0)
    return screen


async def answer(pilot: Pilot[None], text: str) -> None:
    await wait_until(pilot, lambda: bool(pilot.app.screen.query("#picker-input")))
    pilot.app.screen.query_one("#picker-input", Input).value = text
    await pilot.press("enter")


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_what_is_installed_and_known_is_listed_and_searched(
    backend: FakeBackend, size: tuple[int, int]
) -> None:
    async with face(backend, size=size) as (pilot, _):
        screen = await opened(pilot)
        await wait_until(pilot, lambda: "shout" in screen_text(pilot))
        assert "own process" in screen_text(pilot)
        screen.query_one("#plugins-search", Input).value = "patient teacher step"
        await wait_until(pilot, lambda: screen.query_one(DataTable).row_count == 0)
        screen.query_one("#plugins-search", Input).value = "teacher"
        await wait_until(pilot, lambda: screen.query_one(DataTable).row_count == 1)
        assert "not installed" in screen_text(pilot)


async def test_off_on_faults_and_settings(backend: FakeBackend, where: Folders) -> None:
    manager = backend.session.plugins
    async with face(backend, size=LARGE) as (pilot, _):
        screen = await opened(pilot)
        await pilot.press("e")
        await wait_until(pilot, lambda: manager.plugin("shout").state == "disabled")
        assert load_settings().plugins.disabled == ["shout"]
        await pilot.press("e")
        await wait_until(pilot, lambda: manager.plugin("shout").state == "ready")
        assert load_settings().plugins.disabled == []
        for _ in range(3):
            manager.fault("shout", RuntimeError("too loud"), "llmos_context")
        screen.refresh_rows()
        await wait_until(pilot, lambda: "set aside" in screen_text(pilot))
        await wait_until(pilot, lambda: "too loud" in screen_text(pilot))
        await pilot.press("s")
        await wait_until(pilot, lambda: bool(pilot.app.screen.query("#field-loud")))
        pilot.app.screen.query_one("#field-loud", Input).value = "7"
        pilot.app.screen.query_one("Button").press()
        await wait_until(pilot, lambda: load_settings().plugins.options == {"shout": {"loud": 7}})
        assert manager.settings.plugins.options["shout"] == {"loud": 7}


async def test_install_and_remove_without_a_restart(
    backend: FakeBackend, where: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llmos.plugins import installer

    monkeypatch.setattr(installer, "discover", lambda place: list(_files(place.plugins)))
    manager = backend.session.plugins
    single = tmp_path / "whisper.py"
    single.write_text('# /// llmos-plugin\n# summary = "Whispers."\n# ///\n')
    async with face(backend, size=LARGE) as (pilot, _):
        screen = await opened(pilot)
        await pilot.press("i")
        await answer(pilot, str(single))
        await wait_until(pilot, lambda: "Whispers." in screen_text(pilot))
        assert "process of its own" in screen_text(pilot)
        await pilot.press("y")
        await wait_until(pilot, lambda: any(slot.name == "whisper" for slot in manager.plugins()))
        screen.query_one("#plugins-search", Input).value = "whisper"
        await wait_until(pilot, lambda: screen.query_one(DataTable).row_count == 1)
        screen.query_one("#plugins-table").focus()
        await pilot.press("u")
        await answer(pilot, "whisper")
        await wait_until(pilot, lambda: all(slot.name != "whisper" for slot in manager.plugins()))
        assert not (where.plugins / "whisper.py").exists()
        await pilot.press("i")
        await answer(pilot, "/no/such/thing")
        await wait_until(pilot, lambda: "no plugin that can be installed" in screen_text(pilot))
