"""What a vote looks like: the clock and the open thoughts while it goes on, the tally at its end, unfolded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from llmos_reason.budget import Budget
from llmos_reason.effort import Effort
from llmos_reason.report import tally_event
from llmos_reason.voting import Check, Tally, Try
from textual.pilot import Pilot

from llmos.tui.app import LlmosApp
from llmos.tui.tabs import TABS
from llmos.types import AnswerNow, Event, PluginEvent, ThinkingDelta
from tests.helpers.face import LARGE, SMALL, wait_until
from tests.helpers.fake_session import FakeBackend, words

SIZES = pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "140x40"])
QUESTION = "What is 347 + 585?"
STEPS = "ones: 7 + 5 = 12, write 2 carry 1\ntens: 4 + 8 + 1 = 13, write 3 carry 1\nhundreds: 3 + 5 + 1 = 9, write 9\n= 932"
SLIP = STEPS.replace("carry 1\nhundreds: 3 + 5 + 1 = 9", "carry 1\nhundreds: 3 + 5 = 8").replace("932", "832")


def report(tries: int, seconds: float, *, how: str = "", checked: bool = False) -> PluginEvent:
    """A report as the plugin makes it, at a moment of our own choice."""
    at = iter([0.0])
    budget = Budget(Effort(10.0, True), AnswerNow(), lambda: next(at, seconds))
    budget.ended(1200.0)
    tally = Tally()
    for number in range(tries):
        slip = number in (0, 3)
        check = Check("wrong" if slip else "right", True, "347 + 585 = 932") if checked else Check()
        key = "832" if slip else "932"
        tally.add(Try(f"347 + 585 = {key}", SLIP if slip else STEPS, key, 80, -0.1, check))
    return tally_event(tally, budget, how=how)


def script(text: str) -> list[Event | float]:
    if text == "thinking":
        return [ThinkingDelta(STEPS[:60]), report(0, 2.0), 60.0]
    checked = text == "checked"
    how = "vote, checked by running" if checked else "vote"
    tries = 2 if checked else 7
    return [
        ThinkingDelta(STEPS),
        report(1, 0.8, checked=checked),
        report(tries, 3.2, how=how, checked=checked),
        *words("347 + 585 = 932"),
    ]


def scene(text: str, *, unfold: bool = False) -> Callable[[Pilot[None]], Awaitable[None]]:
    async def play(pilot: Pilot[None]) -> None:
        screen: Any = pilot.app.screen
        await wait_until(pilot, lambda: screen.filled and screen.query("Welcome"))
        await wait_until(pilot, lambda: "small test model" in str(screen.query_one("#welcome").render()))
        screen.prompt.cursor_blink = False
        screen.prompt.set_text(text)
        await pilot.press("enter")
        await wait_until(pilot, lambda: screen.query("TallyBlock"))
        if text != "thinking":
            await wait_until(pilot, lambda: screen.prompt.text == "" and not screen.face.turns)
        # The status bar is asked for once a second.
        await wait_until(pilot, lambda: pilot.app.figures.context_used)  # type: ignore[attr-defined]
        if unfold:
            for block in screen.query("TallyBlock, ThinkingBlock"):
                block.toggle_fold()
        await pilot.pause(0.2)

    return play


SCENES = {
    "thinking": scene("thinking"),
    "vote": scene("vote"),
    "checked": scene("checked"),
    "unfolded": scene("checked", unfold=True),
}


@SIZES
@pytest.mark.parametrize("name", SCENES)
def test_vote(
    name: str, size: tuple[int, int], snap_compare: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMOS_HOME", "/nonexistent/llmos-home")
    app = LlmosApp(lambda: FakeBackend(script))
    # Tabs that come and go elsewhere are no matter of these pictures.
    app.tabs = [TABS[0], TABS[-1]]
    assert snap_compare(app, terminal_size=size, run_before=SCENES[name])
