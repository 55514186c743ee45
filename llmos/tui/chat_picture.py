"""Draws a chat with the bundled model into ``docs/images/chat.svg``: ``python -m llmos.tui.chat_picture``.

A real face without a terminal, in folders of its own; the likeliest token is always taken, so that the
same model gives the same picture. To be run again when the model or the face has changed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textual.pilot import Pilot

#: What is asked.
QUESTIONS = ("What can you do?", "How were you built?", "What is a token?")
_SIZE = (110, 34)
_PATIENCE = 120.0


async def draw(file: Path, questions: Sequence[str], size: tuple[int, int]) -> None:
    """Ask, wait for each answer, draw the screen.

    Args:
        file: gets the SVG.
        questions: asked in this order, in one chat.
        size: columns and lines of the terminal.
    """
    from llmos.settings import Settings
    from llmos.tui.app import LlmosApp
    from llmos.tui.real_backend import RealBackend
    from llmos.tui.stage_pictures import until

    settings = Settings()
    settings.chat.temperature = 0.0
    app = LlmosApp(lambda: RealBackend(settings))
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.figures.state == "ready", _PATIENCE)
        screen: Any = app.screen
        await until(pilot, lambda: screen.filled, _PATIENCE)
        for question in questions:
            await _ask(pilot, screen, question)
        await pilot.pause(9)  # Notices go away, and the title has come.
        screen.prompt.focus()
        await pilot.pause(0.5)
        file.write_text(app.export_screenshot(title="LLMOS"), encoding="utf-8")


async def _ask(pilot: Pilot[Any], screen: Any, question: str) -> None:
    from llmos.tui.stage_pictures import until

    screen.prompt.set_text(question)
    await pilot.press("enter")
    await until(pilot, lambda: screen.face.turns or not screen.prompt.text, _PATIENCE)

    await pilot.pause(0.5)
    await until(pilot, lambda: screen.turn is None and screen.transcript.blocks, _PATIENCE)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("questions", nargs="*", default=list(QUESTIONS), help="what is asked")
    folder = Path(__file__).parents[2] / "docs" / "images"
    parser.add_argument("--file", type=Path, default=folder / "chat.svg")
    parser.add_argument("--size", type=int, nargs=2, default=_SIZE, metavar=("COLUMNS", "LINES"))
    given = parser.parse_args()
    given.file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="llmos-picture-") as home:
        os.environ["LLMOS_HOME"] = home
        asyncio.run(draw(given.file, given.questions, (given.size[0], given.size[1])))
    print(given.file)


if __name__ == "__main__":
    main()
