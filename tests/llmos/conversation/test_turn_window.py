"""A turn: what is in the window and what leaves it; what stands around a turn."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from llmos.conversation.errors import PromptTooLong
from llmos.kernel.protocol import GenerateRequest
from llmos.plugins.contributions import Turn
from llmos.plugins.hookspecs import Next
from llmos.types import (
    Citation,
    Event,
    Integrity,
    Notice,
    Page,
    PageIn,
    PageOut,
    TurnDone,
    TurnRequest,
    TurnStarted,
    UserError,
)
from tests.helpers.fake_kernel import Script
from tests.helpers.fake_plugins import FakePlugins
from tests.helpers.turns import UNTRUSTED, Make, adder, call
from tests.llmos.conversation.conftest import Bench, of_kind, text_of


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
