from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from llmos.conversation.middleware import compose
from llmos.kernel.protocol import KernelDied
from llmos.plugins.hookspecs import Next
from llmos.types import Event, Message, Notice, TextDelta, TurnDone, TurnRequest

REQUEST = TurnRequest(messages=[Message("user", "hi")])


async def base(request: TurnRequest) -> AsyncIterator[Event]:
    text = str(request.options.get("say", "base"))
    yield TextDelta(text)
    yield TurnDone(Message("assistant", text), None)


async def run(
    *layers: Any, below: Next = base, seconds: float = 5.0, request: TurnRequest = REQUEST
) -> tuple[str, list[Event], list[str]]:
    """(text shown, all events, plugins blamed)."""
    faults: list[str] = []
    named = [(layer.__name__, layer) for layer in layers]
    stream = compose(named, below, lambda name, error: faults.append(name), seconds=seconds)(request)
    events = [event async for event in stream]
    return "".join(e.text for e in events if isinstance(e, TextDelta)), events, faults


async def test_layers_nest_the_first_one_outermost() -> None:
    def tag(name: str) -> Callable[..., AsyncIterator[Event]]:
        async def layer(request: TurnRequest, next: Next) -> AsyncIterator[Event]:
            async for event in next(request):
                yield TextDelta(f"{name}({event.text})") if isinstance(event, TextDelta) else event

        layer.__name__ = name
        return layer

    text, _, faults = await run(tag("a"), tag("b"))
    assert (text, faults) == ("a(b(base))", [])


async def test_next_may_be_called_several_times() -> None:
    async def vote(request: TurnRequest, next: Next) -> AsyncIterator[Event]:
        found = []
        for number in range(3):
            async for event in next(replace(request, options={"say": f"s{number}"})):
                if isinstance(event, TurnDone):
                    found.append(event.message.content)
        yield TextDelta("+".join(found))
        yield TurnDone(Message("assistant", "+".join(found)), None)

    text, _, faults = await run(vote)
    assert (text, faults) == ("s0+s1+s2", [])


async def raises(request: TurnRequest, next: Next) -> AsyncIterator[Event]:
    raise ValueError("broken")
    yield  # type: ignore[unreachable]


async def exits(request: TurnRequest, next: Next) -> AsyncIterator[Event]:
    raise SystemExit(3)
    yield  # type: ignore[unreachable]


async def nonsense(request: TurnRequest, next: Next) -> AsyncIterator[Event]:
    yield "text"  # type: ignore[misc]


async def hangs(request: TurnRequest, next: Next) -> AsyncIterator[Event]:
    await asyncio.sleep(3_600)
    yield TextDelta("never")


async def silent(request: TurnRequest, next: Next) -> AsyncIterator[Event]:
    return
    yield  # type: ignore[unreachable]


def no_generator(request: TurnRequest, next: Next) -> Any:
    return None


async def coroutine(request: TurnRequest, next: Next) -> Any:
    return [TextDelta("x")]


@pytest.mark.filterwarnings("ignore:coroutine")
@pytest.mark.parametrize("layer", [raises, exits, nonsense, hangs, silent, no_generator, coroutine])
async def test_a_faulty_layer_is_cut_out_and_named(layer: Any) -> None:
    text, events, faults = await run(layer, seconds=0.2)
    assert text == "base"
    assert faults == [layer.__name__]
    notices = [event.text for event in events if isinstance(event, Notice)]
    assert len(notices) == 1
    assert layer.__name__ in notices[0]
    assert isinstance(events[-1], TurnDone)


async def test_what_a_layer_had_shown_stands() -> None:
    async def half(request: TurnRequest, next: Next) -> AsyncIterator[Event]:
        yield TextDelta("half")
        raise RuntimeError

    text, events, faults = await run(half)
    assert (text, faults) == ("half", ["half"])
    assert "stands" in next(e.text for e in events if isinstance(e, Notice))


async def test_the_inner_layer_is_blamed_not_the_outer_one() -> None:
    async def outer(request: TurnRequest, next: Next) -> AsyncIterator[Event]:
        async for event in next(request):
            yield event

    text, _, faults = await run(outer, raises)
    assert (text, faults) == ("base", ["raises"])


async def test_a_dead_kernel_passes_through_and_blames_nobody() -> None:
    async def dies(request: TurnRequest) -> AsyncIterator[Event]:
        yield TextDelta("so far")
        raise KernelDied("dead")

    async def outer(request: TurnRequest, next: Next) -> AsyncIterator[Event]:
        async for event in next(request):
            yield event

    faults: list[str] = []
    stream = compose([("outer", outer)], dies, lambda name, error: faults.append(name))(REQUEST)
    with pytest.raises(KernelDied):
        async for _ in stream:
            pass
    assert faults == []


async def test_a_slow_kernel_is_no_hang_of_the_layer() -> None:
    async def slow(request: TurnRequest) -> AsyncIterator[Event]:
        await asyncio.sleep(0.5)
        yield TextDelta("slow")
        yield TurnDone(Message("assistant", "slow"), None)

    async def outer(request: TurnRequest, next: Next) -> AsyncIterator[Event]:
        async for event in next(request):
            yield event

    text, _, faults = await run(outer, below=slow, seconds=0.1)
    assert (text, faults) == ("slow", [])


async def test_closing_closes_everything_below() -> None:
    closed = []

    async def endless(request: TurnRequest) -> AsyncIterator[Event]:
        try:
            while True:
                yield TextDelta("x")
        finally:
            closed.append("kernel")

    async def outer(request: TurnRequest, next: Next) -> AsyncIterator[Event]:
        try:
            async for event in next(request):
                yield event
        finally:
            closed.append("outer")

    stream: Any = compose([("outer", outer)], endless, lambda name, error: None)(REQUEST)
    assert await anext(stream) == TextDelta("x")
    await stream.aclose()
    assert sorted(closed) == ["kernel", "outer"]
