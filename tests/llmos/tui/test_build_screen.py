"""The Build tab on a real kernel: panels open, controls move them, typing never waits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from llmos.bench.random_gguf import TINY, write_random_gguf
from llmos.kernel.client import KernelClient
from llmos.kernel.protocol import LoadRequest
from llmos.stages.registry import STAGES
from llmos.tui.app import LlmosApp
from llmos.tui.screens.build import BuildScreen
from llmos.tui.widgets.slider import Slider
from tests.helpers.face import LARGE, SMALL, face, screen_text, wait_until
from tests.helpers.fake_session import FakeBackend


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[FakeBackend]:
    kernel = KernelClient(log=tmp_path / "kernel.log")
    await kernel.load(LoadRequest(write_random_gguf(tmp_path / "tiny.gguf", TINY), context=2048, threads=1))
    made = FakeBackend()
    made.session = SimpleNamespace(kernel=kernel)  # type: ignore[attr-defined]
    yield made
    await kernel.close()


async def opened(pilot: Pilot[None]) -> BuildScreen:
    app = pilot.app
    assert isinstance(app, LlmosApp)
    app.open_tab("build")
    await wait_until(pilot, lambda: isinstance(app.screen, BuildScreen))
    screen = app.screen
    assert isinstance(screen, BuildScreen)
    return screen


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_every_stage_opens_and_marks_its_figures(backend: FakeBackend, size: tuple[int, int]) -> None:
    async with face(backend, size=size) as (pilot, _):
        screen = await opened(pilot)
        for place, entry in enumerate(STAGES):
            screen.query_one(OptionList).highlighted = place
            await wait_until(
                pilot, lambda entry=entry: screen._stage is not None and screen._stage.id == entry.id
            )
            await wait_until(
                pilot, lambda: any(mark in screen_text(pilot) for mark in ("● live", "■ rec", "▲ cited"))
            )
            assert entry.title in screen_text(pilot)


async def test_typing_and_sliders_move_the_picture(backend: FakeBackend) -> None:
    async with face(backend, size=LARGE) as (pilot, _):
        screen = await opened(pilot)
        await screen.open_stage("inference")
        await wait_until(pilot, lambda: "What the sampler draws from" in screen_text(pilot))
        before = screen_text(pilot)
        slider = next(one for one in screen.query(Slider) if one.name == "temperature")
        slider.focus()
        for _ in range(8):
            await pilot.press("left")
        await wait_until(pilot, lambda: screen._state["temperature"] == pytest.approx(0.2))
        await wait_until(pilot, lambda: screen_text(pilot) != before)
        screen.query_one(Input).focus()
        await pilot.press("end", *" now")
        assert screen.query_one(Input).value.endswith(" now")
        await wait_until(pilot, lambda: str(screen._state["text"]).endswith(" now"))


async def test_buttons_act_by_key_and_mouse(backend: FakeBackend) -> None:
    async with face(backend, size=LARGE) as (pilot, _):
        screen = await opened(pilot)
        await screen.open_stage("tokens")
        await wait_until(pilot, lambda: "BPE from scratch on this text: 0 merges" in screen_text(pilot))
        screen.query_one(OptionList).focus()
        await pilot.press("n")
        await wait_until(pilot, lambda: "BPE from scratch on this text: 1 merges" in screen_text(pilot))
        await pilot.click("Button")
        await wait_until(pilot, lambda: "BPE from scratch on this text: 2 merges" in screen_text(pilot))


async def test_a_panel_is_as_it_was_left(backend: FakeBackend) -> None:
    async with face(backend, size=LARGE) as (pilot, _):
        screen = await opened(pilot)
        await screen.open_stage("tokens")
        await screen.act("auto")
        await wait_until(pilot, lambda: screen._state.get("merges") == 10)
        screen.query_one(Input).value = "aaaa bbbb"
        await wait_until(pilot, lambda: screen._state["text"] == "aaaa bbbb")
        await screen.open_stage("inference")
        assert screen.query_one(Input).value != "aaaa bbbb"
        await screen.open_stage("tokens")
        assert screen._state["merges"] == 10 and screen.query_one(Input).value == "aaaa bbbb"


async def test_figures_stand_below_the_picture(backend: FakeBackend) -> None:
    async with face(backend, size=(140, 70)) as (pilot, _):
        screen = await opened(pilot)
        await screen.open_stage("pipeline")
        await wait_until(pilot, lambda: screen.settled)
        assert "▲ cited" in screen_text(pilot) and "Figures of others" in screen_text(pilot)


async def test_the_model_can_be_asked_about_the_panel(backend: FakeBackend) -> None:
    async with face(backend) as (pilot, chat):
        screen = await opened(pilot)
        question = screen._stage.question if screen._stage else ""
        await pilot.press("ctrl+y")
        await wait_until(pilot, lambda: pilot.app.screen is chat)
        await wait_until(pilot, lambda: any(question in text for text, _ in backend.sent))


async def test_without_a_model_the_panel_says_so() -> None:
    async with face(FakeBackend()) as (pilot, _):
        await opened(pilot)
        await wait_until(pilot, lambda: "No model is loaded" in screen_text(pilot))


async def test_a_panel_is_saved_as_svg(backend: FakeBackend) -> None:
    from llmos.settings import folders

    async with face(backend) as (pilot, _):
        await opened(pilot)
        await pilot.press("ctrl+e")
        picture = folders().data / "pictures" / "data.svg"
        await wait_until(pilot, picture.exists)
        assert picture.read_text().startswith("<svg")


def test_a_slider_keeps_its_bounds_and_steps() -> None:
    slider = Slider("x", "X", 0.5, 0.0, 1.0, 0.1)
    told: list[Any] = []
    slider.post_message = told.append  # type: ignore[method-assign,assignment]
    slider.set_value(7.0)
    assert slider.value == 1.0
    slider.set_value(-1.0)
    assert slider.value == 0.0
    slider.set_value(0.234)
    assert slider.value == pytest.approx(0.2)
    slider.set_value(0.21)
    assert [one.value for one in told] == [1.0, 0.0, 0.2]


def test_a_slider_over_names_says_them_and_fits_its_room() -> None:
    slider = Slider("step", "Checkpoint", 1, 0, 2, 1, ("1", "235", "499"))
    assert str(slider.render()).endswith(" 235")
    assert slider._length("235") == 20  # not laid out yet
