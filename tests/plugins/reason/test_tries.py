from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

from llmos_reason.effort import Effort
from llmos_reason.plugin import llmos_commands, llmos_generators, llmos_status
from llmos_reason.tries import Plan, think

from llmos.plugins import CommandContext
from llmos.types import (
    AnswerNow,
    Event,
    Message,
    PluginEvent,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    TurnDone,
    TurnRequest,
    TurnStats,
)


class Below:
    """Generation below the middleware: answers from a list, some seconds or a hang each."""

    def __init__(self, answers: list[str], *, thinking: str = "I count.", seconds: float = 0.0) -> None:
        self.answers = itertools.cycle(answers)
        self.thinking = thinking
        self.seconds = seconds
        self.requests: list[TurnRequest] = []
        self.closed = 0
        self.call: ToolCall | None = None

    async def __call__(self, request: TurnRequest) -> AsyncIterator[Event]:
        self.requests.append(request)
        try:
            prefix = str(request.options.get("thoughts", ""))
            if self.thinking and not prefix:
                yield ThinkingDelta(self.thinking)
            if not prefix:
                await asyncio.sleep(self.seconds)
            for sample in range(int(request.options.get("samples", 1))):
                text = next(self.answers)
                if sample == 0:
                    yield TextDelta(text)
                calls = (self.call,) if self.call else ()
                message = Message(
                    "assistant", text, thinking=self.thinking, tool_calls=calls, stats={"mean_logprob": -1.0}
                )
                yield TurnDone(message, TurnStats(10, 8, 5, 0.1, 0.01, 50.0, "stop", "m"))
        finally:
            self.closed += 1


def request(text: str = "What is 2+5?", **options: Any) -> TurnRequest:
    return TurnRequest([Message("user", text)], options=options)


async def collect(stream: AsyncIterator[Event]) -> list[Event]:
    return [event async for event in stream]


def answer(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def tallies(events: list[Event]) -> list[dict[str, Any]]:
    return [dict(event.data) for event in events if isinstance(event, PluginEvent)]


async def test_the_majority_answers_and_the_vote_stops_early() -> None:
    below = Below(["It is 8.", "7", "7.", "It is 7", "7", "7", "7", "7", "7", "7", "7"])
    events = await collect(think(request(), below, Plan(Effort(0, True))))
    assert answer(events).strip(".") in ("7", "It is 7")
    last = tallies(events)[-1]
    assert last["done"] and last["how"] == "vote" and last["votes"][0]["answer"] == "7"
    assert last["confidence"] >= 0.95
    assert len(last["tries"]) < 32
    done = events[-1]
    assert isinstance(done, TurnDone) and done.stats is not None
    assert done.stats.completion_tokens == 5 * len(last["tries"])
    assert below.closed == len(below.requests)


async def test_a_split_vote_ends_with_the_most_tries() -> None:
    below = Below(["7", "8"])
    events = await collect(think(request(), below, Plan(Effort(0, True), most=10)))
    assert len(tallies(events)[-1]["tries"]) == 10


async def test_tries_share_a_batch_and_the_rendering() -> None:
    below = Below(["7", "8"])
    asked = request()
    await collect(think(asked, below, Plan(Effort(0, True), most=9, together=4)))
    assert [one.options["samples"] for one in below.requests] == [1, 4, 4]
    assert all(one.messages is asked.messages for one in below.requests)
    assert all(one.sampling.temperature >= 0.7 for one in below.requests[1:])


async def test_only_the_first_tries_thoughts_are_shown() -> None:
    below = Below(["7"])
    events = await collect(think(request(), below, Plan(Effort(0, True))))
    assert sum(isinstance(event, ThinkingDelta) for event in events) == 1


async def test_time_up_in_mid_thought_closes_the_thoughts_and_answers() -> None:
    below = Below(["7"], seconds=30.0)
    events = await asyncio.wait_for(collect(think(request(), below, Plan(Effort(0.3, True)))), 5)
    assert answer(events) == "7"
    assert below.requests[-1].options["thoughts"] == "I count."
    assert below.requests[-1].max_tokens is not None
    assert below.closed == len(below.requests)


class Hand:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def timed(seconds: float, clock: Hand, **values: Any) -> Plan:
    return Plan(Effort(seconds, True), clock=clock, **values)


async def test_an_answer_that_had_begun_is_gone_on_with() -> None:
    clock = Hand()

    class Slow(Below):
        async def __call__(self, request: TurnRequest) -> AsyncIterator[Event]:
            self.requests.append(request)
            yield TextDelta("It is ")
            if not request.options.get("prefix"):
                clock.now += 9.5
                await asyncio.sleep(30)
            yield TextDelta("7.")
            yield TurnDone(Message("assistant", "It is 7."), TurnStats(1, 1, 5, 0.1, 0.01, 50.0, "stop", "m"))

    below = Slow([], thinking="")
    events = await asyncio.wait_for(collect(think(request(), below, timed(10, clock))), 20)
    assert below.requests[-1].options["prefix"] == "It is "
    assert answer(events) == "It is 7."
    done = events[-1]
    assert isinstance(done, TurnDone) and done.message.content == "It is 7."


async def test_an_answer_that_outlasts_the_time_is_cut_and_kept() -> None:
    clock = Hand()

    class Endless(Below):
        async def __call__(self, request: TurnRequest) -> AsyncIterator[Event]:
            self.requests.append(request)
            try:
                while True:
                    clock.now += 0.1
                    yield TextDelta("on ") if request.options.get("thoughts") else ThinkingDelta("hm ")
            finally:
                self.closed += 1

    below = Endless([])
    events = await asyncio.wait_for(collect(think(request(), below, timed(10, clock))), 20)
    assert 110.0 <= clock.now <= 111.0
    assert answer(events).startswith("on on")
    done = events[-1]
    assert isinstance(done, TurnDone) and done.message.content == answer(events)
    assert done.message.thinking.startswith("hm hm")
    assert below.closed == len(below.requests) == 2


async def test_the_clock_is_shown_while_nothing_has_ended() -> None:
    clock = Hand()

    class Slow(Below):
        async def __call__(self, request: TurnRequest) -> AsyncIterator[Event]:
            for _ in range(3):
                clock.now += 0.7
                yield ThinkingDelta("hm")
            async for event in super().__call__(request):
                yield event

    events = await asyncio.wait_for(collect(think(request(), Slow(["7"]), timed(60, clock, most=1))), 20)
    first = tallies(events)[0]
    assert first["text"].startswith("thinking, 1.4 s of 60 s")
    assert not first["tries"] and not first["done"]


async def test_answer_now_gives_what_there_is() -> None:
    below = Below(["7"], seconds=0.2)
    now = AnswerNow()
    events: list[Event] = []
    async for event in think(request(answer_now=now), below, Plan(Effort(600, True), threshold=0.9999999)):
        events.append(event)
        if isinstance(event, PluginEvent):
            assert now.supported or event.data["done"]
            now.requested = True
    assert answer(events) == "7"
    assert not now.supported
    assert len(tallies(events)[-1]["tries"]) == 1


async def test_a_tool_call_goes_out_at_once() -> None:
    below = Below(["Let me see."])
    below.call = ToolCall("python", {"code": "2+5"})
    events = await collect(think(request(), below, Plan(Effort(0, True))))
    assert isinstance(events[-1], TurnDone) and events[-1].message.tool_calls == (below.call,)
    assert len(below.requests) == 1


async def test_models_without_thinking_tags_are_asked_to_think_first() -> None:
    free = "This is a rather long answer that ends with no short word."
    below = Below([free, "Two and five.\nAnswer: 7", "Answer: 7"], thinking="")
    events = await collect(think(request("Who wins?"), below, Plan(Effort(0, True), most=5)))
    assert "Think step by step" in below.requests[1].messages[0].content
    assert "Think step by step" not in below.requests[0].messages[0].content
    assert tallies(events)[-1]["votes"][0]["answer"] == "7"


class Store:
    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    def set(self, key: str, value: Any) -> None:
        self.values[key] = value


class Host:
    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.store = Store()


async def test_off_and_small_talk_pass_through_untouched() -> None:
    for text, options in (
        ("What is 2+5?", {}),
        ("hello", {"think": "10 s"}),
        ("What is 2+5?", {"think": "off"}),
    ):
        below = Below(["7"])
        asked = request(text, **options)
        layer = llmos_generators(Host())["reason"]  # type: ignore[arg-type]
        events = await collect(layer(asked, below))
        assert [one is asked for one in below.requests] == [True]
        assert not tallies(events)


async def test_the_command_sets_the_effort_of_later_turns() -> None:
    host = Host()
    command = llmos_commands(host)[0].function  # type: ignore[arg-type]
    status = llmos_status(host)[0].view  # type: ignore[arg-type]
    assert status() == ""
    assert command(CommandContext(), effort="20 s").data == {"effort": "20 s"}
    assert status() == "think 20 s"
    assert not command(CommandContext(), effort="long").ok
    assert command(CommandContext()).data == {"effort": "20 s"}
    row = [command(CommandContext(), effort="next").data["effort"] for _ in range(4)]
    assert row == ["5 min", "until sure", "off", "20 s"]
    command(CommandContext(), effort="40 s")
    assert command(CommandContext(), effort="next").data == {"effort": "5 min"}
    below = Below(["7"])
    await collect(llmos_generators(host)["reason"](request(), below))  # type: ignore[arg-type]
    assert len(below.requests) > 1
