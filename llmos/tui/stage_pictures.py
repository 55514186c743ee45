"""Draws the panels of the Build tab into ``docs/images``: ``python -m llmos.tui.stage_pictures``.

A real face without a terminal, the bundled model, its record, and one thing done on most panels, in
folders of its own. To be run again when the model has changed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from llmos.tui.screens.build import BuildScreen

#: What is done on a panel before it is drawn: values of controls, then buttons.
DONE: Mapping[str, tuple[Mapping[str, Any], Sequence[str]]] = {
    "data": ({}, ("sample",)),
    "tokens": ({}, ("auto",)),
    "training": ({"prompt": "Once upon a time"}, ("ask",)),
    "inference": ({"text": "Once upon a time there was a small", "temperature": 0.7}, ()),
    "base": ({}, ("memory", "ask")),
    "sft": ({}, ("ask",)),
    "rlhf": ({}, ("score",)),
    "quirks": ({}, ("names", "reversal")),
    "rag": ({}, ()),
    "security": ({}, ("inject", "image")),
    "pipeline": ({}, ()),
    "machine": ({}, ()),
}
_SIZE, _TOUR_SIZE = (140, 80), (100, 32)
#: Seconds that a panel may take to come, and an experiment to end, on a busy machine.
_PATIENCE, _LONG = 90.0, 1200.0


async def until(pilot: Pilot[Any], true: Any, seconds: float) -> None:
    """Let the app go on until something holds.

    Raises:
        TimeoutError: it did not within so many seconds.
    """
    from textual.pilot import WaitForScreenTimeout

    end = monotonic() + seconds
    while not true():
        if monotonic() > end:
            raise TimeoutError(f"the panel did not come within {seconds:g} s")
        with suppress(WaitForScreenTimeout):
            await pilot.pause(0.05)


async def draw(folder: Path, names: Sequence[str], size: tuple[int, int]) -> None:
    """Draw panels as SVG.

    Args:
        folder: gets ``NAME.svg``.
        names: of the stages.
        size: columns and lines of the terminal.
    """
    from llmos.tui.app import LlmosApp
    from llmos.tui.real_backend import RealBackend
    from llmos.tui.screens.build import BuildScreen

    app = LlmosApp(lambda: RealBackend(safe_mode=False))
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.figures.state == "ready", _PATIENCE)
        app.open_tab("build")
        await until(pilot, lambda: isinstance(app.screen, BuildScreen), _PATIENCE)
        screen = app.screen
        assert isinstance(screen, BuildScreen)
        for name in names:
            began = monotonic()
            await _one(pilot, screen, name)
            (folder / f"{name}.svg").write_text(app.export_screenshot(title="LLMOS"), encoding="utf-8")
            print(f"{name}.svg ({monotonic() - began:.0f} s)", flush=True)


async def _one(pilot: Pilot[Any], screen: BuildScreen, name: str) -> None:
    values, actions = DONE[name]
    await screen.open_stage(name)
    await until(pilot, lambda: screen.settled, _PATIENCE)
    screen.set_values(values)
    for action in actions:
        await screen.act(action)
    await pilot.pause(0.2)
    await until(pilot, lambda: screen.settled, _LONG)
    screen.query_one("#stages").focus()
    await pilot.pause(0.5)


async def draw_tour(folder: Path, size: tuple[int, int]) -> None:
    """Draw every step of the tour once its thing is done, as ``tour-NN.svg``.

    Args:
        folder: gets the pictures.
        size: columns and lines of the terminal.
    """
    from llmos.stages.tour import TOUR
    from llmos.tui.app import LlmosApp
    from llmos.tui.real_backend import RealBackend
    from llmos.tui.screens.build import BuildScreen

    app = LlmosApp(lambda: RealBackend(safe_mode=False), tour=True)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: isinstance(app.screen, BuildScreen), _PATIENCE)
        screen = app.screen
        assert isinstance(screen, BuildScreen)
        await until(pilot, lambda: screen.stage_context() is not None, _PATIENCE)
        for place in range(len(TOUR)):
            await until(pilot, lambda at=place: screen.tour_at == (at, False) and screen.settled, _PATIENCE)
            await pilot.press("enter")
            await until(pilot, lambda at=place: screen.tour_at == (at, True) and screen.settled, _LONG)
            await pilot.pause(0.3)
            name = f"tour-{place + 1:02}.svg"
            (folder / name).write_text(app.export_screenshot(title="LLMOS"), encoding="utf-8")
            print(name, flush=True)
            await pilot.press("enter")


def main() -> None:
    """Entry point."""
    from llmos.stages.registry import STAGES

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=[], help="panels; all of them by default")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parents[2] / "docs" / "images")
    parser.add_argument("--size", type=int, nargs=2, default=None, metavar=("COLUMNS", "LINES"))
    parser.add_argument("--tour", action="store_true", help="draw the steps of the tour instead")
    given = parser.parse_args()
    names = given.names or [entry.id for entry in STAGES]
    given.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="llmos-pictures-") as home:
        os.environ["LLMOS_HOME"] = home
        columns, lines = given.size or (_TOUR_SIZE if given.tour else _SIZE)
        if given.tour:
            asyncio.run(draw_tour(given.folder, (columns, lines)))
        else:
            asyncio.run(draw(given.folder, names, (columns, lines)))


if __name__ == "__main__":
    main()
