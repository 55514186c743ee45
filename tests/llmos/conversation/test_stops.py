"""A stop at every single moment of a turn with tools: the chat stays whole and goes on."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from llmos.conversation.conversation import Conversation
from llmos.types import Event, Page, ToolResult, ToolSpec, TurnDone
from tests.helpers.fake_kernel import Script
from tests.helpers.fake_plugins import FakePlugins
from tests.llmos.conversation.conftest import Bench

Make = Callable[..., Any]


def script() -> list[Any]:
    two = "".join(
        f"<tool_call>{json.dumps({'name': 'slow', 'arguments': {'n': n}})}</tool_call>" for n in (1, 2)
    )
    return [
        Script(f"<think>I look it up</think>Let me see. {two}", pause=0.0005),
        Script("It is 1 and 2, as [1] says.", pause=0.0005),
    ]


async def slow(n: int) -> ToolResult:
    await asyncio.sleep(0.002)
    return ToolResult(f"result {n}", pages=(Page(f"fact {n}", "passage", source="a.md"),))


def plugins() -> FakePlugins:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    return FakePlugins(
        [ToolSpec("slow", "Slow.", schema)],
        {"slow": slow},
        bring=lambda turn: [Page("brought", "passage", source="b.md")],
    )


def check_whole(bench: Bench, chat: Conversation) -> None:
    """Branch and window hold together, and every call has its results."""
    branch = bench.store.branch(chat.chat_id)
    assert [m.content for m in branch if m.role == "user"][-1:] == ["go"]
    for place, message in enumerate(branch):
        assert message.status != "partial"
        if message.tool_calls:
            answers = [one.tool_call_id for one in branch[place + 1 : place + 1 + len(message.tool_calls)]]
            assert answers == [call.id for call in message.tool_calls]
    held = [slot.message.id for slot in chat.window.slots]
    assert held == [message.id for message in branch if message.content or message.tool_calls]


async def stopped_at(bench: Bench, moment: int) -> tuple[Conversation, list[Event]]:
    """A turn that is stopped after so many events."""
    bench.kernel.script = script()
    chat = bench.chat()
    events: list[Event] = []
    async for event in chat.send("go"):
        events.append(event)
        if len(events) == moment:
            chat.stop()
    return chat, events


async def test_a_stop_after_every_event(make_bench: Make) -> None:
    bench: Bench = await make_bench(plugins=plugins())
    chat, whole = await stopped_at(bench, 0)
    check_whole(bench, chat)
    assert len(whole) > 20
    for moment in range(1, len(whole)):
        chat, events = await stopped_at(bench, moment)
        assert isinstance(events[-1], TurnDone)
        assert sum(isinstance(event, TurnDone) for event in events) == 1
        check_whole(bench, chat)
        if moment % 5 == 0:
            bench.kernel.script = ["went on"]
            await bench.talk(chat, "and now?")
            assert bench.store.branch(chat.chat_id)[-1].content == "went on"


@pytest.mark.parametrize("seed", range(4))
async def test_a_stop_at_any_time(make_bench: Make, seed: int) -> None:
    draw = random.Random(seed)
    bench: Bench = await make_bench(plugins=plugins())
    for _ in range(6):
        bench.kernel.script = script()
        chat = bench.chat()
        stream: Any = chat.send("go")
        reading = asyncio.create_task(_read(stream))
        await asyncio.sleep(draw.uniform(0.0, 0.06))
        chat.stop()
        events = await reading
        if events:
            assert isinstance(events[-1], TurnDone)
            check_whole(bench, chat)
        bench.kernel.script = ["went on"]
        await bench.talk(chat, "and now?")
        assert bench.store.branch(chat.chat_id)[-1].content == "went on"


async def _read(stream: Any) -> list[Event]:
    return [event async for event in stream]
