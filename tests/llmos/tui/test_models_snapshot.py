"""What the Models tab looks like, at both sizes, on a machine of fixed size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable

from llmos.catalog.entries import load_catalog
from llmos.catalog.machine import Machine
from llmos.tui.app import LlmosApp
from llmos.tui.screens import models as models_module
from llmos.tui.screens.models import ModelsScreen
from llmos.tui.tabs import TABS
from tests.helpers.face import LARGE, SMALL, wait_until
from tests.helpers.fake_session import FakeBackend

CATALOG = """
version = 1
collected = "2026-11"
[[models]]
name = "small-1b"
repository = "org/Small-1B-GGUF"
file = "*Q4_K_M.gguf"
bytes = 700000000
context = 32768
tasks = ["chat", "thinking"]
parameters = "1B"
verified = true
[[models]]
name = "large-70b"
repository = "org/Large-70B-GGUF"
file = "*Q4_K_M.gguf"
bytes = 42000000000
tasks = ["chat"]
parameters = "70B"
"""


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "140x40"])
def test_models_screen(
    size: tuple[int, int], snap_compare: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "catalog.toml"
    file.write_text(CATALOG)
    machine = Machine(8_000_000_000, 16_000_000_000, 4, 20e9)
    monkeypatch.setattr(models_module, "load_catalog", lambda: load_catalog(file))
    monkeypatch.setattr(models_module, "this_machine", lambda bandwidth=False: machine)
    monkeypatch.setattr(models_module, "owned_models", lambda: [])
    app = LlmosApp(FakeBackend)
    app.tabs = [TABS[0], next(tab for tab in TABS if tab.id == "models"), TABS[-1]]

    async def shown(pilot: Pilot[None]) -> None:
        await wait_until(pilot, lambda: app.figures.state == "ready")
        app.open_tab("models")
        await wait_until(pilot, lambda: isinstance(app.screen, ModelsScreen))
        await wait_until(pilot, lambda: app.screen.query_one(DataTable).row_count == 2)
        await pilot.pause(0.3)

    assert snap_compare(app, terminal_size=size, run_before=shown)
