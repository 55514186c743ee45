"""The Models tab against a hub on loopback: fetch with progress, pause, go on, load, delete."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input

from llmos.bench.random_gguf import TINY, write_random_gguf
from llmos.catalog import owned
from llmos.settings import load_settings
from llmos.tui.app import LlmosApp
from llmos.tui.screens import models as models_module
from llmos.tui.screens.models import ModelsScreen
from tests.helpers.face import LARGE, SMALL, face, screen_text, wait_until
from tests.helpers.fake_session import FakeBackend
from tests.helpers.hub_stub import HubStub

CATALOG = """
version = 1
collected = "2026-11"
[[models]]
name = "tiny-test"
repository = "org/Tiny-GGUF"
file = "*Q8_0.gguf"
quantisation = "Q8_0"
bytes = {size}
tasks = ["chat"]
parameters = "1M"
verified = true
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    os.environ["HOME"] = str(tmp_path)
    os.environ["HF_HOME"] = str(tmp_path / "hf")
    os.environ.pop("HF_HUB_OFFLINE", None)
    monkeypatch.setattr(owned, "bundled_models", lambda: iter(()))
    return tmp_path


@pytest.fixture
def model(tmp_path: Path) -> bytes:
    body = write_random_gguf(tmp_path / "source.gguf", TINY, quantisation="Q8_0").read_bytes()
    file = tmp_path / "catalog.toml"
    file.write_text(CATALOG.format(size=len(body)))
    return body


@pytest.fixture(autouse=True)
def small_catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from llmos.catalog.entries import load_catalog

    monkeypatch.setattr(models_module, "load_catalog", lambda: load_catalog(tmp_path / "catalog.toml"))


async def opened(pilot: Pilot[None]) -> ModelsScreen:
    app = pilot.app
    assert isinstance(app, LlmosApp)
    app.open_tab("models")
    await wait_until(pilot, lambda: isinstance(app.screen, ModelsScreen))
    screen = app.screen
    assert isinstance(screen, ModelsScreen)
    await wait_until(pilot, lambda: screen.query_one(DataTable).row_count > 0)
    return screen


async def test_a_model_is_fetched_paused_and_goes_on(model: bytes) -> None:
    with HubStub({"org/Tiny-GGUF": {"Tiny-Q8_0.gguf": model}}) as stub:
        os.environ["HF_ENDPOINT"] = stub.url
        stub.block, stub.pace = 2_000, 0.05
        async with face(FakeBackend(), size=LARGE) as (pilot, _):
            screen = await opened(pilot)
            await pilot.press("f")
            await wait_until(pilot, lambda: "p pauses" in screen_text(pilot))
            await pilot.press("p")
            await wait_until(pilot, lambda: "is paused" in screen_text(pilot))
            stub.pace = 0.0
            await pilot.press("f")
            await wait_until(pilot, lambda: any(row.owned for row in screen._rows))
            assert any("bytes=" in wanted for _, wanted in stub.requests)
            assert screen._rows[0].owned is not None
            assert screen._rows[0].owned.path.read_bytes() == model
            screen.query_one(DataTable).move_cursor(row=0)
            await pilot.press("d")
            assert load_settings().model.name == str(screen._rows[0].owned.path)
            await pilot.press("delete")
            await wait_until(pilot, lambda: not any(row.owned for row in screen._rows))


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_what_fits_is_said_in_words(model: bytes, size: tuple[int, int]) -> None:
    async with face(FakeBackend(), size=size) as (pilot, _):
        screen = await opened(pilot)
        await wait_until(pilot, lambda: "It fits" in screen_text(pilot))
        assert "tiny-test" in screen_text(pilot)
        screen.query_one(Input).value = "nothing like it"
        await wait_until(pilot, lambda: screen.query_one(DataTable).row_count == 0)


async def test_offline_is_told_and_nothing_breaks(model: bytes) -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    async with face(FakeBackend(), size=LARGE) as (pilot, _):
        await opened(pilot)
        await pilot.press("f")
        await wait_until(pilot, lambda: "switched off" in screen_text(pilot))
