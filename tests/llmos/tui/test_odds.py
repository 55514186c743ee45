"""F4 in the chat: odds of an answer's tokens, alternatives, a branch from one of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from textual.widgets import DataTable

from llmos.bench.random_gguf import TINY, write_random_gguf
from llmos.kernel.client import KernelClient
from llmos.kernel.protocol import LoadRequest
from llmos.stages.odds import AnswerOdds, TokenOdds
from llmos.tui.screens.odds import OddsScreen, colour_of
from llmos.types import Message
from tests.helpers.face import LARGE, face, screen_text, talk, wait_until
from tests.helpers.fake_session import FakeBackend


@pytest.fixture
async def kernel(tmp_path: Path) -> AsyncIterator[KernelClient]:
    made = KernelClient(log=tmp_path / "kernel.log")
    await made.load(LoadRequest(write_random_gguf(tmp_path / "tiny.gguf", TINY), context=512, threads=1))
    yield made
    await made.close()


async def test_odds_are_the_models_own(kernel: KernelClient) -> None:
    before = [Message("user", "hello")]
    odds = AnswerOdds(kernel, before, "It is so.")
    tokens = await odds.tokens()
    assert "".join(one.text for one in tokens) == "It is so."
    prompt = list((await kernel.render_chat(before)).tokens)
    for place, one in enumerate(tokens):
        ids = [*prompt, *[token.token for token in tokens[:place]]]
        expected = {row.token: row.probability for row in await kernel.next_tokens(ids, top=100_000)}
        assert one.probability == pytest.approx(expected[one.token], rel=0.05, abs=1e-4)
    assert odds.text_before(2) == "".join(one.text for one in tokens[:2])
    rows = await odds.alternatives(1, top=4)
    assert len(rows) == 4
    other = await AnswerOdds(kernel, [Message("user", "something else")], "It is so.").tokens()
    assert [one.probability for one in other] != [one.probability for one in tokens]


async def test_f4_shows_the_odds_and_a_branch_starts_from_a_word(kernel: KernelClient) -> None:
    backend = FakeBackend()
    backend.session = SimpleNamespace(kernel=kernel)  # type: ignore[attr-defined]
    async with face(backend, size=LARGE) as (pilot, screen):
        await talk(pilot, screen, "hello")
        await pilot.press("f4")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, OddsScreen))
        await wait_until(pilot, lambda: "written" in screen_text(pilot))
        await pilot.press("right", "right")
        table = pilot.app.screen.query_one(DataTable)
        odds = pilot.app.screen
        await wait_until(pilot, lambda: odds._place == 2 and table.row_count >= 8)  # type: ignore[attr-defined]
        begins = odds._odds.text_before(2) + odds._texts[0]  # type: ignore[attr-defined]
        await pilot.press("enter")
        await wait_until(pilot, lambda: pilot.app.screen is screen)
        await wait_until(pilot, lambda: ("", {"prefix": begins}) in backend.sent)


async def test_without_an_answer_or_a_model_f4_says_so(kernel: KernelClient) -> None:
    async with face(FakeBackend(), size=LARGE) as (pilot, _):
        await pilot.press("f4")
        await wait_until(pilot, lambda: "none is loaded" in screen_text(pilot))


def test_colours_go_from_sure_to_surprising() -> None:
    assert [colour_of(value) for value in (1.0, 0.5, 0.2, 0.0)] == ["success", "primary", "warning", "error"]


class _Slow(AnswerOdds):
    """Odds that are computed when told so."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.ended = False

    async def tokens(self, most: int = 0) -> list[TokenOdds]:
        with suppress(asyncio.CancelledError):  # what is nearly done does not hear of the end
            await self.go.wait()
        self.ended = True
        return [TokenOdds(1, "so", 0.5)]


async def test_leaving_while_the_odds_are_computed_ends_nothing_else(kernel: KernelClient) -> None:
    odds = _Slow()
    async with face(FakeBackend(), size=LARGE) as (pilot, _screen):
        pilot.app.push_screen(OddsScreen(odds))
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, OddsScreen))
        await pilot.press("escape")
        odds.go.set()
        await wait_until(pilot, lambda: odds.ended)
        await pilot.pause()
        assert not isinstance(pilot.app.screen, OddsScreen) and pilot.app.is_running
