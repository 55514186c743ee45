from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llmos.types import SYSTEM_LABELS
from tests.llmos.conversation.conftest import Bench


async def test_a_chat_that_is_not_open_shows_every_page_once_where_it_was(
    make_bench: Callable[..., Any],
) -> None:
    bench: Bench = await make_bench(context=256)
    chat = bench.chat()
    for turn in range(14):
        await bench.talk(chat, f"Message {turn} with a few words more")
    services = bench.session.services
    opened = [page for page in services.window_pages(chat.chat_id) if page.kind != "system"]
    assert {page.where for page in opened} == {"window", "swapped"}
    await bench.session.jobs.close()
    await bench.session.leave(chat.chat_id)
    assert bench.session.conversations == []
    stored = services.window_pages(chat.chat_id)
    assert sorted((page.id, page.where) for page in stored) == sorted((page.id, page.where) for page in opened)
    assert all(page.tokens > 0 and page.labels != SYSTEM_LABELS for page in stored)
    assert services.window_pages("no such chat") == []


async def test_the_kv_state_says_what_the_kernel_holds_and_what_lies_on_disk(
    make_bench: Callable[..., Any],
) -> None:
    bench: Bench = await make_bench()
    chat = bench.chat()
    for turn in range(12):
        await bench.talk(chat, f"Message {turn} with a few words more")
    held = await bench.session.services.kv_state(chat.chat_id)
    assert held.tokens == (await bench.kernel.stats()).sequences[0].tokens
    assert (held.saved_bytes, held.capacity_tokens) == (0, 2_048)
    await bench.session.jobs.close()
    await bench.session.leave(chat.chat_id)
    left = await bench.session.services.kv_state(chat.chat_id)
    assert (left.tokens, left.bytes) == (0, 0)
    assert left.saved_bytes == bench.session.swap.path(bench.kernel, chat.chat_id).stat().st_size > 0


async def test_a_page_can_be_evicted_by_hand(make_bench: Callable[..., Any]) -> None:
    bench: Bench = await make_bench()
    chat = bench.chat()
    await bench.talk(chat, "The first message")
    await bench.talk(chat, "The second message")
    services = bench.session.services
    first = next(page for page in services.window_pages(chat.chat_id) if page.text == "The first message")
    assert await services.evict_page(chat.chat_id, first.id)
    assert not await services.evict_page(chat.chat_id, first.id)
    assert not await services.evict_page("closed", first.id)
    where = {page.id: page.where for page in services.window_pages(chat.chat_id)}
    assert where[first.id] == "swapped"


async def test_a_page_of_a_chat_that_is_not_open_is_pinned_and_unpinned_where_it_is(
    make_bench: Callable[..., Any],
) -> None:
    bench: Bench = await make_bench()
    chat = bench.chat()
    await bench.talk(chat, "The first message")
    await bench.session.jobs.close()
    services = bench.session.services
    first = next(page for page in services.window_pages(chat.chat_id) if page.text == "The first message")
    for pinned in (True, False):
        await bench.session.leave(chat.chat_id)
        assert bench.session.conversations == []
        services.pin_page(chat.chat_id, first.id, pinned)
        await bench.session.jobs.close()
        state = bench.store.page_states(chat.chat_id)[first.id]
        assert (state.pinned, state.swapped) == (pinned, False)
