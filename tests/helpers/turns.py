"""For tests of turns: calls and tools as a model writes them, and a stop in the middle."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from llmos.conversation.conversation import Conversation
from llmos.types import (
    EffectClass,
    Event,
    Integrity,
    Labels,
    TextDelta,
    ToolSpec,
)
from tests.helpers.fake_plugins import FakePlugins
from tests.llmos.conversation.conftest import of_kind

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
