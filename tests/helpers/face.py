"""Running the face in tests: an app on a scripted backend, and waiting for what should come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from time import monotonic

from textual.pilot import Pilot, WaitForScreenTimeout

from llmos.tui.app import LlmosApp
from llmos.tui.options import FaceOptions
from llmos.tui.screens.chat import ChatScreen
from tests.helpers.fake_session import FakeBackend

SMALL = (80, 24)
LARGE = (140, 40)


async def wait_until(pilot: Pilot[None], predicate: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until a predicate holds; fails with its source line when it does not."""
    end = monotonic() + seconds
    while monotonic() < end:
        # On a machine that is busy with other things the library's own patience may end first.
        with suppress(WaitForScreenTimeout):
            await pilot.pause()
        if predicate():
            with suppress(WaitForScreenTimeout):
                await pilot.pause()
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"did not come true in {seconds} s: {predicate.__code__.co_firstlineno}")


@asynccontextmanager
async def face(
    backend: FakeBackend | None = None,
    *,
    size: tuple[int, int] = SMALL,
    options: FaceOptions | None = None,
    chat: str = "",
    loaded: bool = True,
) -> AsyncIterator[tuple[Pilot[None], ChatScreen]]:
    """The running app, its first chat open and (unless told otherwise) its model loaded."""
    made = backend or FakeBackend()
    app = LlmosApp(lambda: made, options, chat=chat)
    async with app.run_test(size=size) as pilot:
        screen = app.screen
        assert isinstance(screen, ChatScreen)
        if loaded:
            await wait_until(pilot, lambda: app.figures.state == "ready" or app.figures.model == "no model")
            await wait_until(pilot, lambda: screen.filled)
        yield pilot, screen


async def talk(pilot: Pilot[None], screen: ChatScreen, text: str) -> None:
    """Send a message and wait for the end of its turn."""
    screen.prompt.set_text(text)
    await pilot.press("enter")
    await wait_until(pilot, lambda: screen.prompt.text == "")
    await wait_until(pilot, lambda: not screen.face.turns and screen.transcript.blocks)


def screen_text(pilot: Pilot[None]) -> str:
    """Everything on the screen, as lines of text."""
    strips = pilot.app.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in strips)


def contrast(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    """Contrast of two colours by WCAG 2: 1 to 21."""

    def luminance(colour: tuple[int, int, int]) -> float:
        parts = [value / 255 for value in colour]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def weak_contrasts(pilot: Pilot[None], least: float = 4.5) -> dict[tuple[str, str, str], float]:
    """Texts on the screen whose contrast is below ``least``, with their colours."""
    weak: dict[tuple[str, str, str], float] = {}
    for strip in pilot.app.screen._compositor.render_strips():
        for text, style, _ in strip:
            if not any(letter.isalnum() for letter in text) or style is None:
                continue
            if style.color is None or style.bgcolor is None:
                continue
            front, back = style.color.get_truecolor(), style.bgcolor.get_truecolor()
            found = contrast(tuple(front), tuple(back))
            if found < least:
                weak[(text.strip()[:30], front.hex, back.hex)] = round(found, 2)
    return weak
