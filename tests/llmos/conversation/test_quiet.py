from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from llmos.conversation.quiet import Interrupted, Quiet
from tests.helpers.fake_kernel import Script
from tests.llmos.conversation.conftest import Bench


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_quiet_is_counted_from_the_last_key_and_the_last_answer() -> None:
    clock, busy = Clock(), [False]
    quiet = Quiet(lambda: busy[0], clock)
    clock.now += 5
    assert quiet.seconds == 5
    quiet.touch()
    clock.now += 2
    assert quiet.seconds == 2
    busy[0] = True
    assert quiet.seconds == 0
    busy[0] = False
    clock.now += 3
    assert quiet.seconds == 3


async def test_work_of_a_quiet_moment_gives_its_result() -> None:
    async def work() -> int:
        return 7

    assert await Quiet(lambda: False).run(work()) == 7


async def test_nothing_begins_while_an_answer_is_made() -> None:
    async def work() -> None:
        raise AssertionError("it ran")

    with pytest.raises(Interrupted):
        await Quiet(lambda: True).run(work())


async def test_a_cancelled_caller_cancels_the_work_and_is_no_interruption() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    caller = asyncio.create_task(Quiet(lambda: False).run(work()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await asyncio.wait_for(ended.wait(), 5)


async def test_sending_ends_background_writing_at_once(make_bench: Callable[..., Any]) -> None:
    held = asyncio.Event()
    bench: Bench = await make_bench([Script("word " * 50, wait=held.wait), "The answer."])
    writing = asyncio.create_task(bench.session.services.generate("Summarise.", while_quiet=True))
    while not bench.kernel.requests:
        await asyncio.sleep(0.01)
    assert bench.kernel.requests[0].priority == "background"
    await bench.talk(bench.chat(), "I am back")  # ``held`` is never set: only an interruption can end it
    with pytest.raises(Interrupted):
        await writing
    assert bench.session.services.quiet_seconds < 5


async def test_other_background_work_goes_on_when_the_person_sends(make_bench: Callable[..., Any]) -> None:
    held = asyncio.Event()
    bench: Bench = await make_bench([Script("A title", wait=held.wait), "The answer."])
    writing = asyncio.create_task(bench.session.services.generate("Title."))
    while not bench.kernel.requests:
        await asyncio.sleep(0.01)
    await bench.talk(bench.chat(), "I am back")
    held.set()
    assert (await writing).text == "A title"
