"""A message is written while pages are looked for: what the one does to the other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from llmos.conversation.conversation import Conversation
from llmos.conversation.database import StoreError
from llmos.types import Message, Page, PageIn, TurnDone, TurnStarted, UserError
from tests.helpers.fake_plugins import FakePlugins
from tests.llmos.conversation.conftest import Bench, of_kind, text_of

Make = Callable[..., Any]


class Gate:
    """Holds the store's thread in the middle of writing a user's message."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fault: Exception | None = None) -> None:
        self.open = threading.Event()
        self.reached = threading.Event()
        real = Conversation._store_user

        def store_user(conversation: Conversation, user: Message) -> None:
            self.reached.set()
            assert self.open.wait(5)
            if fault is not None:
                raise fault
            real(conversation, user)

        monkeypatch.setattr(Conversation, "_store_user", store_user)


def bringing(*searched: asyncio.Event) -> FakePlugins:
    def bring(turn: Any) -> list[Page]:
        for event in searched:
            event.set()
        return [Page("the fact", "passage", source="a.md")]

    return FakePlugins(bring=bring)


async def test_nothing_is_generated_before_both(make_bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    searched = asyncio.Event()
    bench: Bench = await make_bench(["warm", "It is so [1]."], plugins=bringing(searched))
    chat = bench.chat()
    await bench.talk(chat, "first")  # the model is loaded now
    searched.clear()
    gate = Gate(monkeypatch)
    turn = asyncio.create_task(bench.talk(chat, "what is it?"))
    await searched.wait()
    await asyncio.sleep(0.05)
    asked = len(bench.kernel.prompts)
    assert gate.reached.is_set() and not turn.done()
    gate.open.set()
    events = await turn
    assert len(bench.kernel.prompts) == asked + 1
    kinds = [type(event) for event in events]
    assert kinds.index(TurnStarted) < kinds.index(PageIn) < kinds.index(TurnDone)
    assert text_of(events) == "It is so [1]."
    stored = bench.store.branch(chat.chat_id)[-2]
    assert (stored.content, [page.text for page in stored.pages]) == ("what is it?", ["the fact"])


async def test_a_message_that_cannot_be_kept_leaves_no_trace(
    make_bench: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench: Bench = await make_bench(["warm", "again"], plugins=bringing())
    chat = bench.chat()
    await bench.talk(chat, "first")
    before = [slot.message.id for slot in chat.window.slots]
    asked = len(bench.kernel.prompts)
    with monkeypatch.context() as patch:
        gate = Gate(patch, StoreError("the disk is full."))
        gate.open.set()
        events: list[Any] = []
        with pytest.raises(UserError, match="the disk is full"):
            async for event in chat.send("lost?"):
                events.append(event)
    assert events == [] and len(bench.kernel.prompts) == asked
    assert [slot.message.id for slot in chat.window.slots] == before
    assert text_of(await bench.talk(chat, "once more")) == "again"
    assert [one.content for one in bench.store.branch(chat.chat_id)] == ["first", "warm", "once more", "again"]


async def test_a_stop_meanwhile_waits_for_the_message(
    make_bench: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = asyncio.Event()
    bench: Bench = await make_bench(["warm"], plugins=bringing(searched))
    chat = bench.chat()
    await bench.talk(chat, "first")
    searched.clear()
    gate = Gate(monkeypatch)
    turn = asyncio.create_task(bench.talk(chat, "stop me"))
    await searched.wait()
    chat.stop()
    await asyncio.sleep(0.05)
    assert not turn.done()
    gate.open.set()
    events = await turn
    assert [type(event) for event in events] == [TurnStarted, TurnDone]
    assert of_kind(events, TurnDone)[0].message.status == "stopped"
    assert bench.store.branch(chat.chat_id)[-1].content == "stop me"


@pytest.mark.parametrize("said", ["<think>I wonder", ""], ids=["thoughts alone", "nothing"])
async def test_an_answer_that_shows_nothing_does_not_have_the_chat_read_anew(
    make_bench: Make, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    bench: Bench = await make_bench(["One.", said, "Three."])
    chat = bench.chat()
    await bench.talk(chat, "first")
    reads: list[bool] = []
    real = Conversation._read
    monkeypatch.setattr(Conversation, "_read", lambda chat: [reads.append(True), real(chat)][1])
    thought = of_kind(await bench.talk(chat, "second"), TurnDone)[0].message
    await bench.talk(chat, "third")
    assert reads == []
    branch = bench.store.branch(chat.chat_id)
    assert [one.content for one in branch if one.content] == ["first", "One.", "second", "third", "Three."]
    assert (thought.id in [one.id for one in branch]) == bool(said)
    assert all(one.parent_id == before.id for before, one in pairwise(branch))
