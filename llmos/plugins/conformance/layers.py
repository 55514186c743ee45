"""Middleware under check: run where the plugin is, around a scripted answer that also fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from llmos.plugins.hookspecs import Middleware, Next
from llmos.plugins.session import PluginSession
from llmos.types import Event, Message, TextDelta, TurnDone, TurnRequest, UserError

_SECONDS = 8.0
_ANSWER = "A page is a piece of the window."


def try_layers(session: PluginSession) -> list[str]:
    """What does not hold of each layer that ``llmos_generators`` returns, in words."""
    problems: list[str] = []
    for name, layer in session.call("llmos_generators").items():
        try:
            problems += asyncio.run(_try(name, layer))
        except Exception as error:
            problems.append(f"the layer {name} raised {type(error).__name__}: {error}")
    return problems


async def _try(name: str, layer: Middleware) -> list[str]:
    problems: list[str] = []
    events = await _collect(layer, _answer)
    if events is None:
        return [f"the layer {name} does not end within {_SECONDS:g} s"]
    if not events or not isinstance(events[-1], TurnDone):
        problems.append(f"the layer {name} must yield TurnDone last")
    elif not events[-1].message.content:
        problems.append(f"the layer {name} loses the answer's text")
    try:
        if await _collect(layer, _refusal) is None:
            problems.append(f"the layer {name} hangs when the kernel refuses")
    except UserError:
        pass  # handed on: right
    return problems


async def _collect(layer: Middleware, following: Next) -> list[Event] | None:
    """All events of a layer; None when it does not end in time."""
    request = TurnRequest([Message("user", "What is a page?")])
    events: list[Event] = []
    try:
        async with asyncio.timeout(_SECONDS):
            async for event in layer(request, following):
                events.append(event)
    except TimeoutError:
        return None
    return events


async def _answer(request: TurnRequest) -> AsyncIterator[Event]:
    """A short answer, word by word."""
    for place, word in enumerate(_ANSWER.split(" ")):
        yield TextDelta(word if place == 0 else f" {word}")
    yield TurnDone(Message("assistant", _ANSWER), None)


async def _refusal(request: TurnRequest) -> AsyncIterator[Event]:
    """A kernel that dies after the first word."""
    yield TextDelta("A")
    raise UserError("The kernel died.")
