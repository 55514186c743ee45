"""Marks of plugins on an answer: when they are asked for, and what becomes of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from llmos.conversation.marking import Marking
from llmos.plugins.contributions import Turn
from llmos.types import AnswerMarked, Event, Mark, Message, Page, TextDelta
from tests.helpers.fake_plugins import FakePlugins
from tests.llmos.conversation.conftest import Bench, of_kind

Make = Callable[..., Any]
TEXT = "It is blue [1]. It was made by elves. It is old."


def elves(turn: Turn) -> list[Mark]:
    """Marks every finished sentence about elves."""
    assert turn.answer is not None
    text = turn.answer.content
    return [
        Mark(found.start(), found.end(), found[0], "No elves.")
        for found in re.finditer(r"[A-Z][^.]*elves\.", text)
    ]


def brings(turn: Turn) -> list[Page]:
    return [Page("It is blue.", "passage", source="a.md")]


async def test_a_mark_comes_between_its_sentence_and_the_next_and_is_stored(make_bench: Make) -> None:
    asked: list[str] = []

    def remark(turn: Turn) -> list[Mark]:
        assert turn.answer is not None and any(page.kind == "passage" for page in turn.window)
        asked.append(turn.answer.content)
        return elves(turn)

    bench: Bench = await make_bench([TEXT], plugins=FakePlugins(bring=brings, remark=remark))
    chat = bench.chat()
    events = await bench.talk(chat, "What is it?")
    before = ""
    for event in events:
        if isinstance(event, AnswerMarked):
            break
        before += event.text if isinstance(event, TextDelta) else ""
    assert before.rstrip() == "It is blue [1]. It was made by elves."
    assert [one.mark.text for one in of_kind(events, AnswerMarked)] == ["It was made by elves."]
    _, answer = bench.store.branch(chat.chat_id)
    (mark,) = answer.stats["marks"]
    assert answer.content[mark["start"] : mark["end"]] == mark["text"] and mark["note"] == "No elves."
    assert [text.rstrip() for text in asked] == [TEXT[:15], TEXT[:37], TEXT]


async def test_nothing_is_asked_without_passages(make_bench: Make) -> None:
    asked: list[Turn] = []
    plugins = FakePlugins(remark=lambda turn: asked.append(turn) or [])
    bench: Bench = await make_bench([TEXT], plugins=plugins)
    chat = bench.chat()
    await bench.talk(chat, "What is it?")
    assert not asked and "marks" not in bench.store.branch(chat.chat_id)[1].stats


@given(st.lists(st.sampled_from([" ", "\n", "Elves", " elves.", "3.", "5", " [1]", "!", "a"]), max_size=30))
def test_each_mark_is_told_once_however_the_text_comes(pieces: list[str]) -> None:
    import asyncio

    told: list[Event] = []

    def turn(text: str) -> Turn:
        return Turn("chat", Message("user", "?"), Message("assistant", text))

    async def run() -> list[dict[str, Any]]:
        marking = Marking(FakePlugins(remark=elves), turn, told.append)
        for piece in pieces:
            await marking.before(piece)
        return await marking.finish("".join(pieces))

    rows = asyncio.run(run())
    marks = [event.mark for event in told if isinstance(event, AnswerMarked)]
    assert len({(mark.start, mark.end) for mark in marks}) == len(marks)
    assert {(row["start"], row["end"]) for row in rows} <= {(mark.start, mark.end) for mark in marks}
