"""A turn: tools, approvals, middleware."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from llmos.conversation.conversation import Conversation
from llmos.plugins.hookspecs import Next
from llmos.types import (
    ApprovalNeeded,
    Citation,
    EffectClass,
    Event,
    Notice,
    Page,
    PluginEvent,
    TextDelta,
    ToolAsked,
    ToolDone,
    ToolResult,
    TurnDone,
    TurnRequest,
)
from tests.helpers.fake_plugins import FakePlugins
from tests.helpers.turns import UNTRUSTED, Make, adder, call, spec
from tests.llmos.conversation.conftest import Bench, of_kind, text_of


async def test_a_tool_is_run_and_its_result_read(make_bench: Make) -> None:
    bench: Bench = await make_bench([call("add", a=2, b=3), "It is 5."], plugins=adder())
    chat = bench.chat()
    events = await bench.talk(chat, "2+3?")
    assert [e.call.arguments for e in of_kind(events, ToolAsked)] == [{"a": 2, "b": 3}]
    assert [e.result.text for e in of_kind(events, ToolDone)] == ["5"]
    assert text_of(events) == "It is 5."
    assert "<tool_response>\n5\n</tool_response>" in bench.kernel.prompts[1]
    assert [m.role for m in bench.store.branch(chat.chat_id)] == ["user", "assistant", "tool", "assistant"]
    assert bench.kernel.requests[0].grammar_trigger == "<tool_call>"
    assert events[-1].message.content == "It is 5."


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (call("nothing", a=1), "There is no tool nothing"),
        (call("add", a=1), "needs b"),
        (call("add", a=1, b=2, c=3), "does not take c"),
        (call("add", a="1", b=2), "a must be of type integer"),
        (call("add", a=True, b=2), "a must be of type integer"),
    ],
)
async def test_a_wrong_call_is_answered_to_the_model(make_bench: Make, asked: str, says: str) -> None:
    bench: Bench = await make_bench([asked, "sorry"], plugins=adder())
    events = await bench.talk(bench.chat(), "go")
    result = of_kind(events, ToolDone)[0].result
    assert not result.ok
    assert says in result.text
    assert bench.plugins.calls == []
    assert text_of(events) == "sorry"


async def test_the_same_call_again_and_again_ends(make_bench: Make) -> None:
    bench: Bench = await make_bench([call("add", a=1, b=1)] * 50, plugins=adder())
    events = await bench.talk(bench.chat(), "go")
    assert len(bench.plugins.calls) == 2
    assert len(bench.kernel.requests) == 4
    assert isinstance(events[-1], TurnDone)


async def test_the_loop_is_bounded(make_bench: Make) -> None:
    script = [call("add", a=n, b=1) for n in range(50)]
    bench: Bench = await make_bench(script, plugins=adder(), tool_rounds=3)
    events = await bench.talk(bench.chat(), "go")
    assert len(bench.plugins.calls) == 3
    assert len(bench.kernel.requests) == 4
    assert bench.kernel.requests[-1].bias  # the marker of a call is forbidden in the last round
    assert isinstance(events[-1], TurnDone)
    assert any("turn ends here" in n.text for n in of_kind(events, Notice))


async def test_a_huge_result_is_clipped_to_its_share(make_bench: Make) -> None:
    plugins = FakePlugins([spec("big")], {"big": lambda: ToolResult("word " * 3_000)})
    bench: Bench = await make_bench([call("big"), "done"], plugins=plugins, context=512)
    events = await bench.talk(bench.chat(), "go")
    assert text_of(events) == "done"
    assert "more characters were left out" in bench.kernel.prompts[1]


async def test_passages_of_a_result_can_be_cited(make_bench: Make) -> None:
    found = ToolResult("1 passage", pages=(Page("Blue.", "passage", UNTRUSTED, source="a.md"),))
    plugins = FakePlugins([spec("search", q="string")], {"search": lambda q: found})
    bench: Bench = await make_bench([call("search", q="colour"), "Blue [1]."], plugins=plugins)
    events = await bench.talk(bench.chat(), "go")
    assert [e.page.source for e in of_kind(events, Citation)] == ["a.md"]
    assert "1 passage\n\n[1] a.md\nBlue." in bench.kernel.prompts[1]


def writer() -> FakePlugins:
    return FakePlugins([spec("save", EffectClass.WRITE, path="string")], {"save": lambda path: "saved"})


async def answer_all(conversation: Conversation, text: str, answer: Any) -> list[Event]:
    events = []
    async for event in conversation.send(text):
        events.append(event)
        if isinstance(event, ApprovalNeeded):
            conversation.answer_approval(event.approval.id, answer)
    return events


async def test_an_effect_waits_for_approval(make_bench: Make) -> None:
    bench: Bench = await make_bench([call("save", path="/x"), "Saved."], plugins=writer())
    events = await answer_all(bench.chat(), "save it", "once")
    asked = of_kind(events, ApprovalNeeded)
    assert len(asked) == 1
    assert "/x" in asked[0].approval.exact
    assert len(bench.plugins.calls) == 1
    assert text_of(events) == "Saved."


async def test_a_refused_effect_does_not_happen(make_bench: Make) -> None:
    bench: Bench = await make_bench([call("save", path="/x"), "As you wish."], plugins=writer())
    events = await answer_all(bench.chat(), "save it", "deny")
    assert bench.plugins.calls == []
    assert "refused" in of_kind(events, ToolDone)[0].result.text
    assert text_of(events) == "As you wish."


async def test_without_anyone_to_ask_an_effect_is_refused_with_the_reason(make_bench: Make) -> None:
    bench: Bench = await make_bench([call("save", path="/x"), "No."], plugins=writer())
    bench.session.face_can_ask = False
    events = await bench.talk(bench.chat(), "save it")
    assert of_kind(events, ApprovalNeeded) == []
    assert bench.plugins.calls == []
    assert "name this exact call" in of_kind(events, ToolDone)[0].result.text


async def test_a_call_approved_beforehand_runs(make_bench: Make) -> None:
    from llmos.cli.app_context import exact_call

    bench: Bench = await make_bench([call("save", path="/x"), call("save", path="/y"), "Ok."], plugins=writer())
    bench.session.face_can_ask = False
    bench.session.preapproved = frozenset([exact_call('{"arguments": {"path": "/x"}, "name": "save"}')])
    await bench.talk(bench.chat(), "save it")
    assert [one.arguments["path"] for one in bench.plugins.calls] == ["/x"]


async def test_stopping_a_tool_leaves_a_conversation_that_goes_on(make_bench: Make) -> None:
    async def forever() -> str:
        await asyncio.sleep(3_600)
        return ""

    plugins = FakePlugins([spec("slow")], {"slow": forever})
    bench: Bench = await make_bench([call("slow"), "Fine."], plugins=plugins)
    chat = bench.chat()
    events = []
    async for event in chat.send("go"):
        events.append(event)
        if isinstance(event, ToolAsked):
            asyncio.get_running_loop().call_later(0.05, chat.stop)
    assert isinstance(events[-1], TurnDone)
    assert bench.store.branch(chat.chat_id)[-1].content == "Stopped by the user."
    await bench.talk(chat, "Never mind")
    assert "Stopped by the user." in bench.kernel.prompts[-1]
    assert bench.store.branch(chat.chat_id)[-1].content == "Fine."


async def test_stopping_while_an_approval_waits(make_bench: Make) -> None:
    bench: Bench = await make_bench([call("save", path="/x")], plugins=writer())
    chat = bench.chat()
    async for event in chat.send("save"):
        if isinstance(event, ApprovalNeeded):
            chat.stop()
            chat.answer_approval("unknown", "once")
    assert bench.plugins.calls == []
    assert not chat.busy


async def test_middleware_makes_the_answer(make_bench: Make) -> None:
    async def shout(request: TurnRequest, next: Next) -> AsyncIterator[Event]:
        yield PluginEvent("shout", "begin", {})
        async for event in next(request):
            if isinstance(event, TextDelta):
                yield TextDelta(event.text.upper())
            elif isinstance(event, TurnDone):
                event.message.content = event.message.content.upper()
                yield event
            else:
                yield event

    bench: Bench = await make_bench(["hello there"], plugins=FakePlugins(layers=[("shout", shout)]))
    chat = bench.chat()
    events = await bench.talk(chat, "hi")
    assert text_of(events) == "HELLO THERE"
    assert bench.store.branch(chat.chat_id)[-1].content == "HELLO THERE"
    assert of_kind(events, PluginEvent)


async def test_a_faulty_middleware_is_counted_and_the_answer_comes(make_bench: Make) -> None:
    async def broken(request: TurnRequest, next: Next) -> AsyncIterator[Event]:
        raise RuntimeError("no")
        yield  # type: ignore[unreachable]

    bench: Bench = await make_bench(["hello"], plugins=FakePlugins(layers=[("broken", broken)]))
    events = await bench.talk(bench.chat(), "hi")
    assert text_of(events) == "hello"
    assert [name for name, _ in bench.plugins.faults] == ["broken"]


async def test_samples_come_as_one_end_each(make_bench: Make) -> None:
    ends = []

    async def vote(request: TurnRequest, next: Next) -> AsyncIterator[Event]:
        from dataclasses import replace

        async for event in next(replace(request, options={"samples": 3})):
            if isinstance(event, TurnDone):
                ends.append(event)
        yield TextDelta("voted")
        yield ends[0]

    bench: Bench = await make_bench(["same"], plugins=FakePlugins(layers=[("vote", vote)]))
    await bench.talk(bench.chat(), "hi")
    assert [end.message.stats["sample"] for end in ends] == [0, 1, 2]
    assert bench.kernel.requests[0].samples == 3
