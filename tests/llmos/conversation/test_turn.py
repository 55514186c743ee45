from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from llmos.conversation.conversation import Conversation
from llmos.conversation.errors import Busy, PromptTooLong
from llmos.kernel.protocol import GenerateRequest
from llmos.plugins.contributions import Turn
from llmos.plugins.hookspecs import Next
from llmos.types import (
    ApprovalNeeded,
    Citation,
    EffectClass,
    Event,
    Integrity,
    Labels,
    Notice,
    Page,
    PageIn,
    PageOut,
    PluginEvent,
    PrefillProgress,
    TextDelta,
    ThinkingDelta,
    ToolAsked,
    ToolDone,
    ToolResult,
    ToolSpec,
    TurnDone,
    TurnRequest,
    TurnStarted,
    UserError,
)
from tests.helpers.fake_kernel import Script
from tests.helpers.fake_plugins import FakePlugins
from tests.llmos.conversation.conftest import Bench, of_kind, text_of

Make = Callable[..., Any]
UNTRUSTED = Labels(frozenset({"url:https://evil.example"}), Integrity.UNTRUSTED)


def call(name: str, **arguments: Any) -> str:
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


def spec(name: str, effect: EffectClass = EffectClass.PURE, **parameters: str) -> ToolSpec:
    schema = {
        "type": "object",
        "properties": {key: {"type": kind} for key, kind in parameters.items()},
        "required": list(parameters),
    }
    return ToolSpec(name, f"Does {name}.", schema, effect)


def adder() -> FakePlugins:
    return FakePlugins([spec("add", a="integer", b="integer")], {"add": lambda a, b: str(a + b)})


async def stop_after(conversation: Conversation, text: str, count: int) -> list[Event]:
    """Send, and stop when so many text deltas have come."""
    events: list[Event] = []
    async for event in conversation.send(text):
        events.append(event)
        if len(of_kind(events, TextDelta)) == count:
            conversation.stop()
    return events


async def test_events_come_in_order_and_everything_is_stored(make_bench: Make) -> None:
    bench: Bench = await make_bench(["<think>\nhm\n</think>\nHello there."])
    chat = bench.chat()
    events = await bench.talk(chat, "Hi")
    kinds = [type(event) for event in events]
    assert kinds[0] is TurnStarted
    assert kinds[-1] is TurnDone
    assert PrefillProgress in kinds
    assert kinds.index(ThinkingDelta) < kinds.index(TextDelta)
    assert text_of(events).strip() == "Hello there."
    user, answer = bench.store.branch(chat.chat_id)
    assert (user.content, answer.content, answer.thinking) == ("Hi", "Hello there.", "hm")
    assert answer.id == events[0].answer_id
    assert answer.status == "complete"
    assert answer.labels.origins >= {"model", "user"}
    stats = events[-1].stats
    assert stats.completion_tokens > 0
    assert stats.context_size == 2_048
    assert answer.stats["tokens_per_second"] == 100.0


async def test_the_message_is_on_disk_before_anything_is_generated(make_bench: Make) -> None:
    seen: list[list[str]] = []
    bench: Bench = await make_bench(
        [lambda request, prompt: seen.append([m.content for m in bench.store.branch(chat.chat_id)]) or "ok"]
    )
    chat = bench.chat()
    await bench.talk(chat, "Keep this")
    assert seen == [["Keep this"]]


async def test_history_is_sent_and_its_tokens_are_reused(make_bench: Make) -> None:
    bench: Bench = await make_bench(["One.", "Two."])
    chat = bench.chat()
    await bench.talk(chat, "First")
    events = await bench.talk(chat, "Second")
    assert "First" in bench.kernel.prompts[1]
    assert "One." in bench.kernel.prompts[1]
    stats = events[-1].stats
    assert stats.cached_tokens >= stats.prompt_tokens - 11  # the new turn's own tokens


async def test_thoughts_are_not_fed_back(make_bench: Make) -> None:
    bench: Bench = await make_bench(["<think>secret</think>One.", "Two."])
    chat = bench.chat()
    await bench.talk(chat, "First")
    await bench.talk(chat, "Second")
    assert "secret" not in bench.kernel.prompts[1]


async def test_a_chat_goes_on_after_it_is_opened_again(make_bench: Make) -> None:
    bench: Bench = await make_bench(["One."])
    chat = bench.chat()
    await bench.talk(chat, "First")
    again: Bench = await make_bench(["Two."])
    reopened = again.chat(chat.chat_id)
    await again.talk(reopened, "Second")
    assert "One." in again.kernel.prompts[0]
    assert [m.content for m in again.store.branch(chat.chat_id)] == ["First", "One.", "Second", "Two."]


async def test_sampling_comes_from_turn_chat_and_settings(make_bench: Make) -> None:
    bench: Bench = await make_bench(["a", "b"], temperature=0.3, top_k=7)
    chat = bench.chat()
    await bench.talk(chat, "x", temperature=0.0, seed=11, max_tokens=9, system_prompt="Be brief.")
    request = bench.kernel.requests[0]
    assert (request.sampling.temperature, request.sampling.top_k, request.sampling.seed) == (0.0, 7, 11)
    assert request.max_tokens == 9
    assert "<|im_start|>system\nBe brief." in bench.kernel.prompts[0]
    bench.store.set_chat_setting(chat.chat_id, "temperature", 0.9)
    await bench.talk(chat, "y")
    assert bench.kernel.requests[1].sampling.temperature == 0.9
    with pytest.raises(UserError, match="temperature must be a number"):
        await bench.talk(chat, "z", temperature="hot")


async def test_nothing_to_send_is_refused(make_bench: Make) -> None:
    bench: Bench = await make_bench()
    with pytest.raises(UserError, match="nothing to send"):
        await bench.talk(bench.chat(), " \x00\x1b[31m\n")
    assert bench.store.list_chats() == []


async def test_control_characters_are_removed_and_template_tokens_stay_text(make_bench: Make) -> None:
    bench: Bench = await make_bench()
    chat = bench.chat()
    await bench.talk(chat, "a\x00b\x1b[31mred\x1b[0m\x9d<|im_end|>\ud800")
    assert bench.store.branch(chat.chat_id)[0].content == "abred<|im_end|>?"


# -- stopping and dying --------------------------------------------------------------------------


async def test_stop_keeps_what_came_and_marks_it(make_bench: Make) -> None:
    bench: Bench = await make_bench([Script("one two three four five six seven", pause=0.005), "next"])
    chat = bench.chat()
    events = await stop_after(chat, "Count", 3)
    done = events[-1]
    assert isinstance(done, TurnDone)
    assert done.message.status == "stopped"
    answer = bench.store.branch(chat.chat_id)[-1]
    assert answer.status == "stopped"
    assert answer.content.startswith("one two three")
    assert "seven" not in answer.content
    assert not chat.busy
    await bench.talk(chat, "Go on")
    assert "one two three" in bench.kernel.prompts[1]


async def test_stop_before_the_first_word(make_bench: Make) -> None:
    gate = asyncio.Event()
    bench: Bench = await make_bench([Script("never", wait=gate.wait), "later"])
    chat = bench.chat()
    events: list[Event] = []
    async for event in chat.send("Hi"):
        events.append(event)
        if isinstance(event, PrefillProgress):
            chat.stop()
    assert events[-1].message.status == "stopped"
    assert [m.content for m in bench.store.branch(chat.chat_id)] == ["Hi"]
    await bench.talk(chat, "Again")
    assert [m.content for m in bench.store.branch(chat.chat_id)] == ["Hi", "Again", "later"]


async def test_closing_the_stream_stops_and_keeps(make_bench: Make) -> None:
    bench: Bench = await make_bench([Script("one two three four", pause=0.01)])
    chat = bench.chat()
    stream: Any = chat.send("Count")
    async for event in stream:
        if isinstance(event, TextDelta):
            break
    await stream.aclose()
    assert not chat.busy
    answer = bench.store.branch(chat.chat_id)[-1]
    assert (answer.role, answer.status) == ("assistant", "stopped")
    assert answer.content


async def test_a_growing_answer_is_on_disk_within_a_second(make_bench: Make) -> None:
    bench: Bench = await make_bench([Script("one two three four five " * 40, pause=0.01)])
    chat = bench.chat()
    found = []

    async def watch() -> None:
        while not found:
            await asyncio.sleep(0.05)
            found.extend(bench.store.unfinished(chat.chat_id))
        chat.stop()

    watcher = asyncio.create_task(watch())
    events = await bench.talk(chat, "Count")
    await watcher
    assert found[0].status == "partial"
    assert found[0].content.startswith("one two")
    assert events[-1].message.status == "stopped"


async def test_a_dead_kernel_keeps_the_answer_and_is_told_in_one_line(make_bench: Make) -> None:
    bench: Bench = await make_bench([Script("one two three four", die_after=2), "better"])
    chat = bench.chat()
    told: list[Notice] = []
    bench.session.on_notice(told.append)
    events = await bench.talk(chat, "Count")
    bench.session.kernel_notice(Notice("Kernel panic", "warning"))
    notices = of_kind(events, Notice)
    assert len(notices) == 1
    assert "died" in notices[0].text
    assert told == []
    assert events[-1].message.status == "crashed"
    assert bench.store.branch(chat.chat_id)[-1].status == "crashed"
    assert bench.store.branch(chat.chat_id)[-1].content == "one two"
    await bench.talk(chat, "Again")
    assert bench.store.branch(chat.chat_id)[-1].content == "better"
    assert len(bench.kernel.requests) == 2  # never tried again by itself


async def test_a_refusing_kernel_is_a_sentence_and_the_chat_goes_on(make_bench: Make) -> None:
    bench: Bench = await make_bench([Script(error="The grammar is broken."), "fine"])
    chat = bench.chat()
    with pytest.raises(UserError, match="grammar is broken"):
        await bench.talk(chat, "Hi")
    assert not chat.busy
    await bench.talk(chat, "Again")
    assert [m.content for m in bench.store.branch(chat.chat_id)] == ["Hi", "Again", "fine"]


async def test_answers_cut_by_a_power_failure_are_marked_when_opened(make_bench: Make) -> None:
    bench: Bench = await make_bench()
    chat = bench.chat()
    await bench.talk(chat, "Hi")
    answer = bench.store.branch(chat.chat_id)[-1]
    answer.status = "partial"
    bench.store.update_message(answer)
    again: Bench = await make_bench()
    messages = await again.chat(chat.chat_id).open()
    assert messages[-1].status == "crashed"
    assert messages[-1].content == answer.content


async def test_one_answer_at_a_time(make_bench: Make) -> None:
    bench: Bench = await make_bench([Script("a b c", pause=0.01)])
    chat = bench.chat()
    async for event in chat.send("Hi"):
        if isinstance(event, TextDelta):
            with pytest.raises(Busy):
                await bench.talk(chat, "Me too")
            with pytest.raises(Busy):
                await chat.switch("x")
            break


# -- the window ----------------------------------------------------------------------------------


async def test_a_message_longer_than_the_window_is_given_back(make_bench: Make) -> None:
    bench: Bench = await make_bench(["ok"], context=256)
    chat = bench.chat()
    text = " ".join(f"word{n}" for n in range(1_000))
    with pytest.raises(PromptTooLong) as caught:
        await bench.talk(chat, text)
    error = caught.value
    assert error.tokens == 1_000
    assert 100 < error.fits < 256
    assert "1,000 tokens" in str(error)
    assert text.startswith(error.fitting)
    assert bench.store.draft(chat.chat_id) == text
    assert bench.store.branch(chat.chat_id) == []
    await bench.talk(chat, error.fitting)
    assert bench.store.branch(chat.chat_id)[-1].content == "ok"
    assert bench.store.draft(chat.chat_id) == ""


async def test_old_pages_leave_in_batches_and_are_told(make_bench: Make) -> None:
    bench: Bench = await make_bench(context=400)
    chat = bench.chat()
    evictions = 0
    for turn in range(40):
        events = await bench.talk(chat, f"Message {turn} " + "pad " * 10)
        gone = of_kind(events, PageOut)
        evictions += bool(gone)
        assert len(bench.kernel.requests[-1].prompt) + 16 <= 400
        assert f"Message {turn}" in bench.kernel.prompts[-1]
        assert len(chat.swapped()) + len(chat.window.pages) == 2 * turn + 2  # kept up to date
    assert 2 <= evictions <= 12  # batches, not one message a turn
    states = bench.store.page_states(chat.chat_id)
    assert any(state.swapped for state in states.values())
    pages = await chat.pages()
    assert len([p for p in pages if p.kind == "message"]) == 80
    assert [p.where for p in pages] == sorted((p.where for p in pages), key=lambda w: w == "swapped")
    again: Bench = await make_bench(context=400)
    reopened = again.chat(chat.chat_id)
    await reopened.open()
    assert [p.id for p in reopened.window.pages] == [p.id for p in chat.window.pages if p.kind != "system"]


async def test_pinned_pages_never_leave(make_bench: Make) -> None:
    bench: Bench = await make_bench(context=300)
    chat = bench.chat()
    await bench.talk(chat, "The code is 4711")
    first = bench.store.branch(chat.chat_id)[0].id
    await chat.pin_page(first)
    for turn in range(30):
        await bench.talk(chat, f"Message {turn} " + "pad " * 10)
    assert "The code is 4711" in bench.kernel.prompts[-1]
    await chat.pin_page(first, False)
    for turn in range(30):
        await bench.talk(chat, f"More {turn} " + "pad " * 10)
    assert "The code is 4711" not in bench.kernel.prompts[-1]
    await chat.pin_page(first)
    await bench.talk(chat, "And now?")
    assert "The code is 4711" in bench.kernel.prompts[-1]


async def test_plugins_choose_what_leaves(make_bench: Make) -> None:
    plugins = FakePlugins(order=lambda window, need: [p.id for p in window if "chatter" in p.text])
    bench: Bench = await make_bench(context=300, plugins=plugins)
    chat = bench.chat()
    await bench.talk(chat, "fact one is here")
    for turn in range(4):
        await bench.talk(chat, f"chatter {turn} " + "pad " * 20)
    assert "fact one is here" in bench.kernel.prompts[-1]


async def test_pages_are_brought_before_the_question_and_stay(make_bench: Make) -> None:
    def bring(turn: Turn) -> list[Page]:
        assert turn.budget > 0
        assert [m.content for m in turn.messages][:1] in ([], ["What is it?"])
        return [
            Page("It is \x1b[31mblue\x1b[0m.", "passage", UNTRUSTED, source="a.md\nx", heading="H"),
            Page("x " * 100_000, "passage", UNTRUSTED, source="huge"),
        ]

    bench: Bench = await make_bench(
        ["It is blue [1], not [7].", "Still blue."], plugins=FakePlugins(bring=bring)
    )
    chat = bench.chat()
    events = await bench.talk(chat, "What is it?")
    assert "<|im_start|>user\n[1] a.md x > H\nIt is blue.\n\nWhat is it?<|im_end|>" in bench.kernel.prompts[0]
    assert [e.page.text for e in of_kind(events, PageIn)] == ["It is blue."]
    assert [(e.number, e.page.source) for e in of_kind(events, Citation)] == [(1, "a.md x")]
    user, answer = bench.store.branch(chat.chat_id)
    assert user.pages[0].text == "It is blue."
    assert answer.labels.tainted
    assert answer.stats["citations"][0]["source"] == "a.md x"
    assert user.labels.integrity is Integrity.TRUSTED
    bench.plugins.bring = None
    await bench.talk(chat, "Really?")
    assert bench.kernel.prompts[1].startswith(bench.kernel.prompts[0].rpartition("<|im_start|>")[0])


# -- tools ---------------------------------------------------------------------------------------


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


# -- middleware ----------------------------------------------------------------------------------


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


# -- branches ------------------------------------------------------------------------------------


async def test_regenerate_makes_a_sibling(make_bench: Make) -> None:
    bench: Bench = await make_bench(["first", "second", "third"])
    chat = bench.chat()
    await bench.talk(chat, "Q")
    old = bench.store.branch(chat.chat_id)[-1]
    events = [event async for event in chat.regenerate()]
    assert text_of(events) == "second"
    assert [m.content for m in bench.store.branch(chat.chat_id)] == ["Q", "second"]
    assert [m.content for m in await chat.siblings(old.id)] == ["first", "second"]
    assert "first" not in bench.kernel.prompts[1]
    messages = await chat.step_sibling(bench.store.branch(chat.chat_id)[-1].id, -1)
    assert messages[-1].content == "first"
    await bench.talk(chat, "Next")
    assert "first" in bench.kernel.prompts[2]


async def test_an_earlier_message_can_be_edited(make_bench: Make) -> None:
    bench: Bench = await make_bench(["a1", "a2", "a3"])
    chat = bench.chat()
    await bench.talk(chat, "q1")
    await bench.talk(chat, "q2")
    first = bench.store.branch(chat.chat_id)[0]
    events = [event async for event in chat.edit(first.id, "q1 better")]
    assert text_of(events) == "a3"
    assert [m.content for m in bench.store.branch(chat.chat_id)] == ["q1 better", "a3"]
    messages = await chat.switch(first.id)
    assert [m.content for m in messages] == ["q1", "a1", "q2", "a2"]
    with pytest.raises(UserError, match="your own messages"):
        async for _ in chat.edit(messages[1].id, "x"):
            pass


async def test_an_answer_can_be_rewritten_and_keeps_its_labels(make_bench: Make) -> None:
    def bring(turn: Turn) -> list[Page]:
        return [Page("evil", "passage", UNTRUSTED, source="web")]

    bench: Bench = await make_bench(["bad"], plugins=FakePlugins(bring=bring))
    chat = bench.chat()
    await bench.talk(chat, "q")
    answer = bench.store.branch(chat.chat_id)[-1]
    messages = await chat.rewrite(answer.id, "good")
    assert messages[-1].content == "good"
    assert messages[-1].labels.tainted
    assert len(bench.kernel.requests) == 1


async def test_a_chat_can_be_forked(make_bench: Make) -> None:
    bench: Bench = await make_bench(["a1", "a2", "b2"])
    chat = bench.chat()
    await bench.talk(chat, "q1")
    await bench.talk(chat, "q2")
    second = bench.store.branch(chat.chat_id)[1]
    new = await chat.fork(second.id)
    assert [m.content for m in bench.store.branch(new.id)] == ["q1", "a1"]
    await bench.talk(bench.chat(new.id), "other")
    assert len(bench.store.branch(chat.chat_id)) == 4


# -- around the turn -----------------------------------------------------------------------------


async def test_plugins_are_told_and_the_chat_gets_a_title(make_bench: Make) -> None:
    bench: Bench = await make_bench(["Sure."])
    chat = bench.chat()
    await bench.talk(chat, "Please explain how tides work. I need it for school.")
    await bench.session.jobs.close()
    assert [turn.answer.content for turn in bench.plugins.turns] == ["Sure."]
    assert bench.store.chat(chat.chat_id).title == "Explain how tides work"


async def test_the_model_is_loaded_when_it_is_needed(make_bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    from llmos.kernel import locate

    monkeypatch.setattr(locate, "resolve", lambda name: locate.LocalModel("late", Path("late.gguf")))
    bench: Bench = await make_bench(["ok"])
    bench.kernel._model = None
    events = await bench.talk(bench.chat(), "hi")
    assert text_of(events) == "ok"
    assert events[-1].stats.model == "late"


async def test_the_system_prompt_of_our_own_models(make_bench: Make) -> None:
    from pathlib import Path

    from llmos.formats import DEFAULT_SYSTEM_PROMPT
    from llmos.kernel.protocol import LoadRequest

    bench: Bench = await make_bench(["ok", "ok"])
    await bench.talk(bench.chat(), "hi")
    assert "<|im_start|>system" not in bench.kernel.prompts[0]
    await bench.kernel.load(LoadRequest(Path("llmos-3m.gguf")))
    await bench.talk(bench.chat(), "hi")
    assert bench.kernel.prompts[1].startswith(f"<|im_start|>system\n{DEFAULT_SYSTEM_PROMPT}")


async def test_our_own_small_models_are_drawn_from_more_coldly(make_bench: Make) -> None:
    from pathlib import Path

    from llmos.conversation.sampling import OWN_TEMPERATURE
    from llmos.kernel.protocol import LoadRequest

    bench: Bench = await make_bench(["ok"] * 4)
    await bench.talk(bench.chat(), "hi")
    await bench.kernel.load(LoadRequest(Path("LLMOS 3m.gguf")))
    await bench.talk(bench.chat(), "hi")
    await bench.talk(bench.chat(), "hi", temperature=1.1)
    warm: Bench = await make_bench(["ok"], temperature=0.9)
    await warm.kernel.load(LoadRequest(Path("llmos.gguf")))
    await warm.talk(warm.chat(), "hi")
    drawn = [request.sampling.temperature for request in (*bench.kernel.requests, *warm.kernel.requests)]
    assert drawn == [0.7, OWN_TEMPERATURE, 1.1, 0.9]


async def test_options_reach_middleware(make_bench: Make) -> None:
    seen: list[GenerateRequest | Any] = []

    async def look(request: TurnRequest, next: Next) -> AsyncIterator[Event]:
        seen.append(request.options.get("think_seconds"))
        async for event in next(request):
            yield event

    bench: Bench = await make_bench(["ok"], plugins=FakePlugins(layers=[("look", look)]))
    await bench.talk(bench.chat(), "hi", think_seconds=30)
    assert seen == [30]


async def test_a_full_disk_under_an_answer_loses_nothing(make_bench: Make) -> None:
    bench: Bench = await make_bench(["short"], context=16_384)
    chat = bench.chat()
    await bench.talk(chat, "warm up")
    events: list[Event] = []
    pages = bench.store.database.execute("PRAGMA page_count")[0][0]
    bench.kernel.script = ["longword " * 6_000, "second", "third"]
    async for event in chat.send("first"):
        events.append(event)
        if isinstance(event, TurnStarted):
            pages = bench.store.database.execute("PRAGMA page_count")[0][0]
            bench.store.database.execute(f"PRAGMA max_page_count = {pages}")
    notices = [n.text for n in of_kind(events, Notice)]
    assert len(notices) == 1
    assert "the disk is full" in notices[0]
    assert isinstance(events[-1], TurnDone)
    with pytest.raises(UserError, match="the disk is full"):
        await bench.talk(chat, "still full " * 3_000)
    bench.store.database.execute("PRAGMA max_page_count = 1000000")
    await bench.talk(chat, "room again")
    branch = bench.store.branch(chat.chat_id)
    assert [m.content[:9] for m in branch[2:]] == ["first", "longword ", "room agai", "second"]


async def test_an_address_in_an_imported_message_was_not_typed_by_the_user(make_bench: Make) -> None:
    bench: Bench = await make_bench()
    chat = bench.chat()
    await bench.talk(chat, "Look at http://localhost:80/ please")
    user = bench.store.branch(chat.chat_id)[0]
    assert chat.window_state().user_texts == [user.content]
    foreign = bench.store.create_chat()
    user.id, user.chat_id, user.labels = "f" * 32, foreign.id, UNTRUSTED
    bench.store.add_message(user)
    other = bench.chat(foreign.id)
    await other.open()
    assert other.window_state().user_texts == []


async def test_attachments_that_do_not_fit_are_told(make_bench: Make) -> None:
    bench: Bench = await make_bench(["ok"], context=256)
    page = Page("word " * 600, "passage", UNTRUSTED, source="big.txt", reason="attached by you")
    with pytest.raises(
        PromptTooLong, match=r"with what is attached to it is 60\d tokens.*attach or write less"
    ):
        await bench.talk(bench.chat(), "sum up", [page])


async def test_a_tool_that_no_grammar_fits_does_not_end_the_chat(make_bench: Make) -> None:
    from llmos.kernel.protocol import KernelError

    bench: Bench = await make_bench([call("add", a=1, b=2), "3"], plugins=adder())
    real = bench.kernel.tool_grammar

    async def refuses(tools: Any) -> tuple[str, str]:
        if tools:
            raise KernelError("The tool's JSON schema cannot be turned into a grammar.")
        return await real(tools)

    bench.kernel.tool_grammar = refuses  # type: ignore[method-assign]
    events = await bench.talk(bench.chat(), "1+2")
    assert text_of(events) == "3"
    assert len(bench.plugins.calls) == 1
    assert bench.kernel.requests[0].grammar == ""


async def test_a_branch_that_was_moved_from_outside_is_followed(make_bench: Make) -> None:
    bench: Bench = await make_bench(["a1", "a2", "a3", "a4"])
    chat = bench.chat()
    await bench.talk(chat, "q1")
    await bench.talk(chat, "q2")
    first_answer = bench.store.branch(chat.chat_id)[1]
    bench.store.set_leaf(chat.chat_id, first_answer.id)
    await bench.talk(chat, "q3")
    assert [m.content for m in bench.store.branch(chat.chat_id)] == ["q1", "a1", "q3", "a3"]
    assert "q2" not in bench.kernel.prompts[-1]
    other: Bench = await make_bench(["b1"])  # another program goes on with the chat
    await other.talk(other.chat(chat.chat_id), "q4")
    await bench.talk(chat, "q5")
    assert [m.content for m in bench.store.branch(chat.chat_id)][-4:] == ["q4", "b1", "q5", "a4"]


async def test_an_answer_of_thoughts_alone_is_no_empty_turn(make_bench: Make) -> None:
    bench: Bench = await make_bench([Script("<think>hm and hm and hm", pause=0.001), "ok"])
    chat = bench.chat()
    await bench.talk(chat, "q1")
    await bench.talk(chat, "q2")
    assert "<|im_start|>assistant\n<|im_end|>" not in bench.kernel.prompts[-1]
    assert bench.store.branch(chat.chat_id)[-1].content == "ok"
