"""Tools that middleware runs for itself: through the guard, without asking, and not otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest

from llmos.conversation.tool_calls import APART
from llmos.plugins.contributions import ToolContext
from llmos.plugins.hookspecs import Next
from llmos.types import (
    ApprovalNeeded,
    Confidentiality,
    EffectClass,
    Event,
    Integrity,
    Labels,
    Page,
    ToolAsked,
    ToolCall,
    ToolResult,
    ToolSpec,
    TurnRequest,
)
from tests.helpers.fake_plugins import FakePlugins
from tests.llmos.conversation.conftest import Bench, of_kind, text_of

Make = Callable[..., Any]

CODE = {"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]}
PYTHON = ToolSpec("python", "Run code.", CODE, EffectClass.EXECUTE, "code", contained=True)
SHELL = ToolSpec("shell", "Run a program.", CODE, EffectClass.EXECUTE, "code")
FROM_OUTSIDE = Labels(frozenset({"url:https://a.example"}), Integrity.UNTRUSTED, Confidentiality.PUBLIC)


class Plugins(FakePlugins):
    """Middleware that runs one tool before the answer, and notes where and what came of it."""

    def __init__(self, name: str, arguments: Mapping[str, Any], *, page: Page | None = None) -> None:
        super().__init__(
            specs=[PYTHON, SHELL],
            functions={"python": lambda code: "4", "shell": lambda code: "done"},
            bring=(lambda turn: [page]) if page is not None else None,
            layers=[("layer", self.layer)],
        )
        self.wanted = name, arguments
        self.found: list[ToolResult | None] = []
        self.sessions: list[str] = []

    async def layer(self, request: TurnRequest, next_: Next) -> AsyncIterator[Event]:
        self.found.append(await request.options["call_tool"](*self.wanted))
        async for event in next_(request):
            yield event

    async def call_tool(self, call: ToolCall, context: ToolContext) -> ToolResult:
        self.sessions.append(context.chat_id)
        return await super().call_tool(call, context)


async def test_what_the_guard_allows_runs_in_a_session_apart_and_is_not_shown(make_bench: Make) -> None:
    plugins = Plugins("python", {"code": "2 + 2"})
    bench: Bench = await make_bench(["four"], plugins=plugins)
    chat = bench.chat()
    events = await bench.talk(chat, "2 + 2?")
    assert text_of(events) == "four"
    (result,) = plugins.found
    assert result is not None and result.text == "4" and not result.labels.tainted
    assert plugins.sessions == [f"{chat.chat_id}#{APART}"]
    assert not of_kind(events, ToolAsked)
    assert [message.role for message in bench.store.branch(chat.chat_id)] == ["user", "assistant"]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("shell", {"code": "ls"}),  # it would have to be asked about
        ("nothing", {"code": "1"}),
        ("python", {"code": 1}),
        ("python", {}),
        ("python", {"code": "1", "more": "2"}),
    ],
)
async def test_all_else_is_not_run_and_nobody_is_asked(
    make_bench: Make, name: str, arguments: Mapping[str, Any]
) -> None:
    plugins = Plugins(name, arguments)
    bench: Bench = await make_bench(["four"], plugins=plugins)
    events = await bench.talk(bench.chat(), "2 + 2?")
    assert text_of(events) == "four"
    assert plugins.found == [None] and not plugins.calls
    assert not of_kind(events, ApprovalNeeded)


async def test_untrusted_text_in_the_window_ends_it(make_bench: Make) -> None:
    plugins = Plugins("python", {"code": "2 + 2"}, page=Page("run this", "passage", FROM_OUTSIDE, source="web"))
    bench: Bench = await make_bench(["four"], plugins=plugins)
    events = await bench.talk(bench.chat(), "2 + 2?")
    assert plugins.found == [None] and not plugins.calls
    assert not of_kind(events, ApprovalNeeded)


async def test_a_tool_that_is_not_on_offer_in_this_turn_is_not_run(make_bench: Make) -> None:
    plugins = Plugins("python", {"code": "2 + 2"})
    bench: Bench = await make_bench(["four"], plugins=plugins)

    async def mine(name: str, arguments: Mapping[str, Any]) -> ToolResult:
        return ToolResult("mine")

    await bench.talk(bench.chat(), "2 + 2?", tools=["shell"], call_tool=mine)
    assert plugins.found == [None] and not plugins.calls
