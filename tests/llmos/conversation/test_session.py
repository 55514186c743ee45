from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llmos.conversation.session import open_session, with_settings
from llmos.settings import Settings, folders
from llmos.types import (
    Approval,
    EffectClass,
    Integrity,
    Labels,
    Message,
    Notice,
    Page,
    SamplingSettings,
    ToolCall,
)
from tests.helpers.fake_kernel import FakeKernel, Script
from tests.helpers.fake_plugins import FakePlugins
from tests.llmos.conversation.conftest import Bench

Make = Callable[..., Any]


async def test_one_conversation_a_chat(make_bench: Make) -> None:
    bench: Bench = await make_bench()
    chat = bench.chat()
    assert bench.chat(chat.chat_id) is chat
    assert bench.chat() is not chat
    assert bench.store.list_chats() == []  # stored with the first message only


async def test_notices_from_before_the_face_was_there_are_kept() -> None:
    where = folders().make()
    where.store_file.write_bytes(b"damaged" * 1_000)
    async with open_session(face="test", kernel=FakeKernel(), plugins=FakePlugins()) as session:
        told: list[Notice] = []
        session.on_notice(told.append)
        session.notify(Notice("later"))
        assert "set aside" in told[0].text
        assert told[1].text == "later"


async def test_a_session_without_the_fakes_opens_and_closes() -> None:
    async with open_session(face="test") as session:
        assert session.kernel.model is None
        assert isinstance(session.plugins.tools(), list)


async def test_everything_is_closed_and_answers_are_kept() -> None:
    kernel = FakeKernel([Script("a b c d e f", pause=0.05)])
    async with open_session(face="test", kernel=kernel, plugins=FakePlugins()) as session:
        chat = session.conversation()
        stream: Any = chat.send("hi")
        reader = asyncio.create_task(_read(stream))
        await asyncio.sleep(0.15)
    events = await reader
    assert events[-1].message.status == "stopped"
    assert kernel.closed


async def _read(stream: Any) -> list[Any]:
    return [event async for event in stream]


def test_settings_can_be_laid_over() -> None:
    base = Settings()
    assert with_settings(base, temperature=0.1, top_k=None).chat.temperature == 0.1
    assert base.chat.temperature == 0.7


async def test_jobs_that_fail_harm_nobody(make_bench: Make) -> None:
    bench: Bench = await make_bench()
    ended: list[str] = []
    bench.session.jobs.listen(lambda info: ended.append(f"{info.name} {info.state}"))

    async def fails() -> None:
        raise ValueError

    async def works() -> None:
        await asyncio.sleep(0)

    async def endless() -> None:
        await asyncio.sleep(3_600)

    for name, work in (("fails", fails()), ("works", works()), ("endless", endless())):
        bench.session.jobs.start(name, work)
    assert len(bench.session.jobs.list()) == 3
    await bench.session.jobs.close(patience=0.05)
    assert sorted(ended) == ["endless cancelled", "fails failed", "works done"]


# -- what plugins are offered ----------------------------------------------------------------------


async def test_plugins_can_generate_without_the_chat(make_bench: Make) -> None:
    bench: Bench = await make_bench(["<think>x</think>one", "two", "three"])
    services = bench.session.services
    made = await services.generate("Say one", system="Be short.", sampling=SamplingSettings(temperature=0))
    assert (made.text, made.stop_reason) == ("one", "stop")
    request = bench.kernel.requests[0]
    assert request.priority == "background"
    assert not request.keep
    assert "Be short." in bench.kernel.prompts[0]
    assert "".join([part async for part in services.stream("Say two")]) == "two"
    assert [one.text for one in await services.fork([Message("user", "Say three")], 2)] == ["three", "three"]
    assert await services.count_tokens("a b c") == 3
    assert services.idle
    assert services.model_name == "fake"
    assert services.context_size == 2_048


async def test_structured_output_is_held_by_a_grammar(make_bench: Make) -> None:
    bench: Bench = await make_bench(['{"name": "x"}'])
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    made = await bench.session.services.generate("Give a name", schema=schema)
    assert made.text == '{"name": "x"}'
    assert "root ::=" in bench.kernel.requests[0].grammar


async def test_plugins_see_pages_labels_and_messages(make_bench: Make) -> None:
    evil = Labels(frozenset({"url:https://x"}), Integrity.UNTRUSTED)
    bench: Bench = await make_bench(plugins=FakePlugins(bring=lambda turn: [Page("p", "passage", evil)]))
    services = bench.session.services
    chat = bench.chat()
    await bench.talk(chat, "needle in a haystack")
    assert services.window_labels(chat.chat_id).tainted
    assert [page.kind for page in services.window_pages(chat.chat_id)] == ["passage", "message", "message"]
    assert [m.role for m in await services.chat_messages(chat.chat_id)] == ["user", "assistant"]
    assert (await services.search_chats("needle missing"))[0].chat_id == chat.chat_id
    await bench.session.leave(chat.chat_id)
    assert services.window_labels(chat.chat_id).tainted
    page = bench.store.branch(chat.chat_id)[0]
    services.pin_page(chat.chat_id, page.id, True)
    await bench.session.jobs.close()
    assert bench.store.page_states(chat.chat_id)[page.id].pinned


async def test_approvals_outside_of_a_turn(make_bench: Make) -> None:
    bench: Bench = await make_bench()
    question = Approval(ToolCall("x", {}), EffectClass.WRITE, "exact", "because")
    assert await bench.session.services.approve(question) == "deny"

    async def yes(approval: Approval) -> Any:
        return "once"

    bench.session.approver = yes
    assert await bench.session.services.approve(question) == "once"


async def test_notices_may_come_from_any_thread(make_bench: Make) -> None:
    bench: Bench = await make_bench()
    told: list[str] = []
    bench.session.on_notice(lambda notice: told.append(notice.text))
    bench.session.services.notify("here \x1b[31mred")
    thread = threading.Thread(target=bench.session.services.notify, args=("from a thread", "warning"))
    thread.start()
    await asyncio.to_thread(thread.join)
    await asyncio.sleep(0)
    assert told == ["here red", "from a thread"]


async def test_no_embedder_is_a_sentence(make_bench: Make, tmp_path: Path) -> None:
    import pytest

    from llmos.types import UserError

    bench: Bench = await make_bench()
    services = bench.session.services
    assert await services.embed([]) == []
    if services.embedder_id() == "":
        with pytest.raises(UserError, match="no embedding model"):
            await services.embed(["x"])
    model = tmp_path / "m.gguf"
    model.write_bytes(b"x" * 10)
    services.register_embedder(model)
    assert services.embedder_id().startswith("m:")


async def test_old_trash_and_old_states_go(make_bench: Make) -> None:
    bench: Bench = await make_bench()
    old = bench.store.create_chat("old")
    bench.store.delete_chat(old.id)
    bench.store.database.execute("UPDATE chats SET deleted_at = 1")
    bench.session.swap.folder.mkdir(parents=True)
    bench.session.swap.limit = 10
    (bench.session.swap.folder / "x-m.kv").write_bytes(b"x" * 100)
    await bench.session.tidy()
    assert bench.store.list_chats(trash=True) == []
    assert list(bench.session.swap.folder.iterdir()) == []


async def test_what_was_not_stored_is_stored_at_the_end(make_bench: Make) -> None:
    bench: Bench = await make_bench(["answer"])
    chat = bench.chat()
    await bench.talk(chat, "hi")
    answer = bench.store.branch(chat.chat_id)[-1]
    bench.store.delete_message(answer.id)
    chat._unsaved.append(answer)
    await chat.close()
    assert [m.content for m in bench.store.branch(chat.chat_id)] == ["hi", "answer"]


async def test_chats_that_do_not_fit_together_wait_for_each_other(make_bench: Make) -> None:
    bench: Bench = await make_bench([Script("word " * 20, pause=0.001)] * 3, context=200)
    real, running, most = bench.kernel.generate, 0, 0

    async def counted(request: Any) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            async for event in real(request):
                yield event
        finally:
            running -= 1

    bench.kernel.generate = counted  # type: ignore[method-assign]
    every = await asyncio.gather(
        *(bench.talk(bench.chat(), f"chat {number} " + "pad " * 70) for number in range(3))
    )
    assert all(events[-1].message.status == "complete" for events in every)
    assert most == 1
    waits = [e for events in every for e in events if isinstance(e, Notice) and "waits" in e.text]
    assert len(waits) == 2


async def test_chats_that_fit_together_do_not_wait(make_bench: Make) -> None:
    bench: Bench = await make_bench([Script("a b c", pause=0.01)] * 2)
    every = await asyncio.gather(*(bench.talk(bench.chat(), "hi") for _ in range(2)))
    assert not [e for events in every for e in events if isinstance(e, Notice)]


async def test_a_waiting_chat_can_be_stopped(make_bench: Make) -> None:
    gate = asyncio.Event()
    bench: Bench = await make_bench([Script("a b", wait=gate.wait), "c"], context=200)
    first, second = bench.chat(), bench.chat()
    slow = asyncio.create_task(bench.talk(first, "one " + "pad " * 90))
    await asyncio.sleep(0.1)
    waiting = asyncio.create_task(bench.talk(second, "two " + "pad " * 90))
    await asyncio.sleep(0.1)
    second.stop()
    assert (await waiting)[-1].message.status == "stopped"
    gate.set()
    assert (await slow)[-1].message.content == "a b"
    bench.kernel.script = ["after"]
    assert (await bench.talk(second, "three"))[-1].message.content == "after"
