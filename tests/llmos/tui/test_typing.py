"""Typing is told to the backend: background work waits for a quiet moment."""

from __future__ import annotations

from typing import Any

from llmos.tui.app import LlmosApp
from tests.helpers.face import wait_until
from tests.helpers.fake_session import FakeBackend


async def test_every_key_press_says_that_somebody_types() -> None:
    backend = FakeBackend()
    app = LlmosApp(lambda: backend)
    async with app.run_test() as pilot:
        screen: Any = pilot.app.screen
        await wait_until(pilot, lambda: screen.filled and screen.query("Welcome"))
        before = getattr(backend, "typed_times", 0)
        await pilot.press("a", "b", "c")
        await wait_until(pilot, lambda: getattr(backend, "typed_times", 0) >= before + 3)
