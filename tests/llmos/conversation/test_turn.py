"""A turn: order, storage, stopping and dying."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from llmos.conversation.errors import Busy
from llmos.types import (
    Event,
    Notice,
    PrefillProgress,
    TextDelta,
    ThinkingDelta,
    TurnDone,
    TurnStarted,
    UserError,
)
from tests.helpers.fake_kernel import Script
from tests.helpers.turns import Make, stop_after
from tests.llmos.conversation.conftest import Bench, of_kind, text_of


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
