"""The tally of a vote in the chat: one block, updated in place, its tries unfold."""

from __future__ import annotations

from typing import Any

from llmos.plugins.contributions import Command, CommandContext, CommandResult, Parameter
from llmos.tui.widgets.tally_block import TallyBlock, cleaned
from llmos.types import PluginEvent
from tests.helpers.face import LARGE, face, screen_text, talk, wait_until
from tests.helpers.fake_session import FakeBackend, words


def report(tries: int, *, done: bool = False) -> PluginEvent:
    data: dict[str, Any] = {
        "text": f"{tries} tries in 1.0 s" + (", chosen by vote" if done else ""),
        "done": done,
        "votes": [{"answer": "85", "votes": tries}],
        "tries": [
            {"text": f"It is 85 ({n}).", "thinking": "tens: 4 + 3", "answer": "85"} for n in range(tries)
        ],
    }
    return PluginEvent("reason", "tally", data)


async def test_a_tally_is_one_block_that_grows_and_unfolds() -> None:
    backend = FakeBackend(lambda text: [report(1), report(2), report(3, done=True), *words("It is 85.")])
    async with face(backend, size=LARGE) as (pilot, screen):
        await talk(pilot, screen, "47 + 38?")
        blocks = list(screen.query(TallyBlock))
        assert len(blocks) == 1
        await wait_until(pilot, lambda: "3 tries in 1.0 s, chosen by vote" in screen_text(pilot))
        assert "█ 3" in screen_text(pilot)
        assert "try 2" not in screen_text(pilot)
        assert blocks[0].toggle_fold()
        await wait_until(pilot, lambda: "try 2: It is 85 (1)." in screen_text(pilot))
        assert "3. It is 85 (2)." in blocks[0].copy_text()


def test_foreign_text_in_a_report_is_cleaned_everywhere() -> None:
    data = {"text": "a\x1b[31m", "tries": [{"text": "b\x1b"}], "n": 1}
    assert cleaned(data, lambda text: text.replace("\x1b", "").replace("[31m", "")) == {
        "text": "a", "tries": [{"text": "b"}], "n": 1,
    }  # fmt: skip


async def test_a_key_goes_through_the_efforts() -> None:
    asked: list[str] = []

    def think(context: CommandContext, effort: str = "") -> CommandResult:
        asked.append(effort)
        return CommandResult("Thinking is 20 s from the next message on.")

    parameter = Parameter("effort", many=True, default="")
    backend = FakeBackend(commands=[Command("think", think, "How long.", (parameter,))])
    async with face(backend, size=LARGE) as (pilot, _):
        await pilot.press("alt+t")
        await wait_until(pilot, lambda: "Thinking is 20 s" in screen_text(pilot))
    assert asked in (["next"], [("next",)])


async def test_without_the_plugin_the_key_says_so() -> None:
    async with face(FakeBackend(), size=LARGE) as (pilot, _):
        await pilot.press("alt+t")
        await wait_until(pilot, lambda: "No command is called /think" in screen_text(pilot))


async def test_escape_while_thinking_says_that_the_answer_comes_now() -> None:
    backend = FakeBackend(lambda text: [report(1), 0.2, *words("x " * 400)])
    backend.thinks = True
    async with face(backend, size=LARGE) as (pilot, screen):
        screen.prompt.set_text("47 + 38?")
        await pilot.press("enter")
        await wait_until(pilot, lambda: screen.query(TallyBlock))
        await pilot.press("escape")
        await wait_until(pilot, lambda: "Answering now with what there is" in screen_text(pilot))
        await pilot.press("escape")
        await wait_until(pilot, lambda: not screen.face.turns)
