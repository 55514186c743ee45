"""The tour from end to end on a real kernel: every step does its thing; it can be left and resumed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from textual.pilot import Pilot

from llmos.bench.random_gguf import TINY, write_random_gguf
from llmos.kernel.client import KernelClient
from llmos.kernel.protocol import LoadRequest
from llmos.settings import folders
from llmos.stages.registry import STAGES
from llmos.stages.tour import TOUR, load_place, save_place, text_of
from llmos.tui.app import LlmosApp
from llmos.tui.screens.build import BuildScreen
from llmos.tui.screens.build_parts import packed
from tests.helpers.face import LARGE, SMALL, screen_text, wait_until
from tests.helpers.fake_session import FakeBackend


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[FakeBackend]:
    kernel = KernelClient(log=tmp_path / "kernel.log")
    await kernel.load(LoadRequest(write_random_gguf(tmp_path / "tiny.gguf", TINY), context=2048, threads=1))
    made = FakeBackend()
    made.session = SimpleNamespace(kernel=kernel)  # type: ignore[attr-defined]
    yield made
    await kernel.close()


async def on_tour(pilot: Pilot[None]) -> BuildScreen:
    app: Any = pilot.app
    await wait_until(pilot, lambda: isinstance(app.screen, BuildScreen), 20)
    screen: BuildScreen = app.screen
    await wait_until(pilot, lambda: screen._tour_place is not None and screen.stage_context() is not None, 20)
    first = TOUR[screen._tour_place or 0].stage
    await wait_until(pilot, lambda: getattr(screen._stage, "id", "") == first)
    return screen


async def do_step(pilot: Pilot[None], screen: BuildScreen, place: int) -> None:
    assert screen._tour_place == place
    assert screen._stage is not None and screen._stage.id == TOUR[place].stage
    assert f"Tour {place + 1} of 12" in screen_text(pilot)
    await pilot.press("enter")
    await wait_until(pilot, lambda: screen._tour_done, 60)
    await wait_until(pilot, lambda: "goes on" in screen_text(pilot))
    await pilot.press("enter")
    await wait_until(pilot, lambda: screen._tour_place == place + 1 and not screen._tour_done)
    await wait_until(
        pilot, lambda: place + 1 == len(TOUR) or getattr(screen._stage, "id", "") == TOUR[place + 1].stage
    )


async def test_the_tour_goes_through_all_twelve(backend: FakeBackend) -> None:
    app = LlmosApp(lambda: backend, tour=True)
    async with app.run_test(size=LARGE) as pilot:
        screen = await on_tour(pilot)
        results: dict[str, Any] = {}
        for place, step in enumerate(TOUR):
            await do_step(pilot, screen, place)
            results[step.stage] = True
        assert list(results) == [entry.id for entry in STAGES]
        assert "That was the tour" in screen_text(pilot)
        await pilot.press("enter")
        await wait_until(pilot, lambda: screen._tour_place is None)
        assert "Tour" not in screen_text(pilot)
        assert load_place(folders().data) == 0


async def test_it_is_left_and_resumed(backend: FakeBackend) -> None:
    save_place(folders().data, 1)
    async with LlmosApp(lambda: backend, tour=True).run_test(size=SMALL) as pilot:
        screen = await on_tour(pilot)
        await do_step(pilot, screen, 1)
        assert screen._stage is not None and screen._stage.id == "training"
        await pilot.press("escape")
        await wait_until(pilot, lambda: screen._tour_place is None)
        assert "Tour" not in screen_text(pilot)
        await pilot.press("ctrl+g")
        await wait_until(pilot, lambda: "Tour 3 of 12" in screen_text(pilot))
    assert json.loads((folders().data / "tour.json").read_text()) == {"step": 2}


def test_the_place_is_kept_and_nonsense_begins_anew(tmp_path: Path) -> None:
    assert load_place(tmp_path) == 0
    save_place(tmp_path, 5)
    assert load_place(tmp_path) == 5
    save_place(tmp_path, len(TOUR))
    assert load_place(tmp_path) == 0
    for nonsense in ("{", "[]", '{"step": "x"}', '{"step": 99}', '{"step": -1}'):
        (tmp_path / "tour.json").write_text(nonsense)
        assert load_place(tmp_path) == 0


def test_every_panel_has_one_step_and_says_what_comes() -> None:
    assert [step.stage for step in TOUR] == [entry.id for entry in STAGES]
    assert len(STAGES) == 12
    assert all(step.action or step.values for step in TOUR)
    assert all("undled" in step.before for step in TOUR if step.stage in ("base", "sft", "rlhf", "data"))
    assert text_of(0, False) != text_of(0, True) != text_of(12, False)


def test_buttons_are_packed_into_lines() -> None:
    assert packed([10, 10, 10], 20) == [[0, 1], [2]]
    assert packed([30], 20) == [[0]]
    assert packed([], 20) == []
