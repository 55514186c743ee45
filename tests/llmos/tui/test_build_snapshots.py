"""What some panels of the Build tab look like, at both sizes, without a model and with a fixed one."""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot

from llmos.stages.frame import StageContext
from llmos.tui.app import LlmosApp
from llmos.tui.screens.build import BuildScreen
from llmos.tui.tabs import TABS
from tests.helpers.face import LARGE, SMALL, screen_text, wait_until
from tests.helpers.fake_session import FakeBackend

SIZES = pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "140x40"])


class NoKernel:
    """Stands for a loaded model where a panel asks it nothing."""

    model = type("Info", (), {"name": "a model", "path": "", "layers": 2, "embedding_width": 64})()


def app(tour: bool = False) -> LlmosApp:
    backend = FakeBackend()
    backend.session = type("Session", (), {"kernel": NoKernel()})()  # type: ignore[attr-defined]
    made = LlmosApp(lambda: backend, tour=tour)
    made.tabs = [TABS[0], TABS[1]]
    return made


@SIZES
@pytest.mark.parametrize("name", ["quirks", "security"])
def test_panel(
    name: str, size: tuple[int, int], snap_compare: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmos.tui.screens.build.make_context", lambda kernel, *_: StageContext(kernel))

    async def go(pilot: Pilot[None]) -> None:
        await opened(pilot)
        screen: Any = pilot.app.screen
        await screen.open_stage(name)
        await wait_until(pilot, lambda: "● live" in screen_text(pilot))
        await pilot.pause(0.3)

    assert snap_compare(app(), terminal_size=size, run_before=go)


@SIZES
def test_tour(size: tuple[int, int], snap_compare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from llmos.settings import folders
    from llmos.stages.tour import save_place

    monkeypatch.setattr("llmos.tui.screens.build.make_context", lambda kernel, *_: StageContext(kernel))
    save_place(folders().data, 9)

    async def go(pilot: Pilot[None]) -> None:
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, BuildScreen))
        await wait_until(
            pilot, lambda: "Tour 10 of 12" in screen_text(pilot) and "● live" in screen_text(pilot)
        )
        await pilot.pause(0.3)

    assert snap_compare(app(tour=True), terminal_size=size, run_before=go)


async def opened(pilot: Pilot[None]) -> None:
    face: Any = pilot.app
    await wait_until(pilot, lambda: face.screen.filled and face.figures.state == "ready")
    face.open_tab("build")
    await wait_until(pilot, lambda: isinstance(face.screen, BuildScreen))
