"""The index screen as a picture, from a real index."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from llmos_disk import plugin
from llmos_disk.panels import view
from llmos_disk.progress import Progress
from textual.pilot import Pilot

from llmos.plugins import Element, Panel
from llmos.tui.app import LlmosApp
from tests.helpers.face import LARGE, SMALL, wait_until
from tests.helpers.fake_session import FakeBackend

from .test_plugin import FakeHost


def replaced(value: Any, old: str, new: str) -> Any:
    """The same data with one path written as another, so that the picture is the same everywhere."""
    if isinstance(value, str):
        return value.replace(old, new)
    if isinstance(value, dict):
        return {key: replaced(one, old, new) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [replaced(one, old, new) for one in value]
    return value


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "140x40"])
def test_index_screen(
    size: tuple[int, int], snap_compare: Any, docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmos_disk.hosted.default_embedder", lambda folder: None)
    (docs / "scan.pdf").write_bytes(b"no pdf")
    (docs / "empty.md").write_text("")
    host: Any = FakeHost(tmp_path / "data")
    hosted = plugin.disk_of(host)
    hosted.disk.add([str(docs)], trusted=True)
    hosted.disk.index()
    running = Progress("indexing", 7, 20, 3_500_000, 10_000_000, 120)
    monkeypatch.setattr(Progress, "seconds", property(lambda self: 10.0))
    hosted.disk.progress = running
    elements = [
        Element(one.kind, replaced(dict(one.data), str(docs), "/home/you/docs"), one.title)
        for one in view(hosted)
    ]
    plugin.llmos_stop(host)
    panel = Panel("disk", "Disk", lambda: elements, refresh=0)

    async def show(pilot: Pilot[None]) -> None:
        screen: Any = pilot.app.screen
        await wait_until(pilot, lambda: screen.filled and screen.query("Welcome"))
        screen.face.open_tab("disk-disk")
        await wait_until(pilot, lambda: pilot.app.screen is not screen)
        for field in pilot.app.screen.query("Input"):
            field.cursor_blink = False  # type: ignore[attr-defined]
        await pilot.pause(0.3)

    monkeypatch.setenv("LLMOS_HOME", "/nonexistent/llmos-home")
    made: Callable[[], LlmosApp] = lambda: LlmosApp(lambda: FakeBackend(panels=[("disk", panel)]))  # noqa: E731
    assert snap_compare(made(), terminal_size=size, run_before=show)
