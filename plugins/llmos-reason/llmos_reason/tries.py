"""The middleware: a thinking budget, several tries in one batch, a vote, an answer in time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

from llmos.plugins import Next
from llmos.types import (
    AnswerNow,
    Event,
    Message,
    PluginEvent,
    PrefillProgress,
    TextDelta,
    ThinkingDelta,
    TurnDone,
    TurnRequest,
    TurnStats,
)
from llmos_reason.answers import THINK_THEN_ANSWER, key_of
from llmos_reason.effort import Effort
from llmos_reason.voting import Tally, Try

#: Temperature of the tries where the user's own is lower: equal tries would be no vote.
_TEMPERATURE = 0.7
#: Share of the time that is kept for closing thoughts and answering.
_CLOSING_SHARE = 0.1
_CLOSING_TOKENS = 96
_POLL = 0.1


@dataclass(slots=True)
class Plan:
    """What the user allows.

    Attributes:
        effort: time or until sure.
        most: most tries.
        together: tries decoded in one batch.
        threshold: confidence that decides the vote.
        clock: seconds; for tests.
    """

    effort: Effort
    most: int = 32
    together: int = 4
    threshold: float = 0.95
    clock: Callable[[], float] = time.monotonic


class _Clock:
    """Time of this answer and the two reasons to end early."""

    def __init__(self, plan: Plan, now: AnswerNow) -> None:
        self._plan, self._now = plan, now
        self.began = plan.clock()

    @property
    def spent(self) -> float:
        return self._plan.clock() - self.began

    @property
    def over(self) -> bool:
        seconds = self._plan.effort.seconds
        return self._now.requested or (seconds > 0 and self.spent >= seconds * (1 - _CLOSING_SHARE))


async def think(request: TurnRequest, next_: Next, plan: Plan) -> AsyncIterator[Event]:
    """Answer with several tries; yields thoughts of the first one, tallies, then the chosen answer.

    Args:
        request: the turn; its question is the last message of the user.
        next_: generation below.
        plan: what the user allows.
    """
    raw = request.options.get("answer_now")
    now = raw if isinstance(raw, AnswerNow) else AnswerNow()
    now.supported = True
    question = next((one.content for one in reversed(request.messages) if one.role == "user"), "")
    clock, tally = _Clock(plan, now), Tally(plan.threshold)
    figures = _Figures()
    thoughts: list[str] = []
    called: TurnDone | None = None
    form = False  # think-then-answer, for models without thinking tags
    while len(tally.tries) < plan.most and not clock.over and not tally.decided:
        first = not tally.tries
        count = 1 if first else min(plan.together, plan.most - len(tally.tries))
        async for event in _until(next_(_asking(request, count, form)), lambda: clock.over or tally.decided):
            if isinstance(event, TurnDone):
                figures.add(event)
                if event.message.tool_calls:
                    called = event
                    break
                tally.add(_try_of(event, question))
                yield _tally_event(tally, clock, done=False)
            elif isinstance(event, ThinkingDelta):
                if first:
                    thoughts.append(event.text)
                    yield event
            elif isinstance(event, PrefillProgress):
                if first:
                    yield event
            elif not isinstance(event, TextDelta):
                yield event
        if called is not None:
            break
        if first and tally.tries and not tally.tries[0].thinking and not tally.tries[0].key:
            form = True
    now.supported = False
    if called is not None:
        # A call will be run outside: its checked result is worth more than a vote.
        if called.message.content:
            yield TextDelta(called.message.content)
        yield called
        return
    if not tally.tries:
        async for event in _close_thoughts(request, next_, "".join(thoughts), figures, question, tally):
            yield event
    won = tally.winner()
    if won is None:
        return
    chosen, how = won
    yield _tally_event(tally, clock, done=True, how=how)
    yield TextDelta(chosen.text)
    yield figures.done(chosen, tally, how, clock.spent)


def _asking(request: TurnRequest, count: int, form: bool) -> TurnRequest:
    messages = list(request.messages)
    if form:
        for place in range(len(messages) - 1, -1, -1):
            if messages[place].role == "user":
                content = f"{messages[place].content}\n\n{THINK_THEN_ANSWER}"
                messages[place] = replace(messages[place], content=content)
                break
    sampling = replace(request.sampling, temperature=max(_TEMPERATURE, request.sampling.temperature), seed=None)
    if count == 1:
        sampling = replace(sampling, temperature=min(request.sampling.temperature, _TEMPERATURE))
    options = {**request.options, "samples": count}
    # The same list object lets the core reuse its rendering.
    return replace(request, messages=messages if form else request.messages, sampling=sampling, options=options)


def _try_of(event: TurnDone, question: str) -> Try:
    message = event.message
    return Try(
        message.content,
        message.thinking,
        key_of(message.content, question),
        event.stats.completion_tokens if event.stats else 0,
        float(message.stats.get("mean_logprob", 0.0)),
    )


async def _until(stream: AsyncIterator[Event], over: Callable[[], bool]) -> AsyncIterator[Event]:
    """Events of a stream until it ends or ``over`` says so; then the stream is closed."""
    iterator = stream.__aiter__()
    task: asyncio.Task[Event] | None = None
    try:
        while not over():
            if task is None:
                task = asyncio.ensure_future(_anext(iterator))
            done, _ = await asyncio.wait({task}, timeout=_POLL)
            if not done:
                continue
            try:
                event = task.result()
            except StopAsyncIteration:
                return
            finally:
                task = None
            yield event
    finally:
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()


async def _anext(iterator: AsyncIterator[Event]) -> Event:
    return await iterator.__anext__()


async def _close_thoughts(
    request: TurnRequest, next_: Next, thoughts: str, figures: _Figures, question: str, tally: Tally
) -> AsyncIterator[Event]:
    """The time was up in mid-thought: close the thoughts cleanly and have the answer written.

    Budget forcing as in s1 (Muennighoff et al. 2025, arXiv 2501.19393).
    """
    prefix = f"<think>\n{thoughts.strip()}\n</think>\n" if thoughts.strip() else ""
    options = {**request.options, "samples": 1, "prefix": prefix}
    most = min(request.max_tokens or _CLOSING_TOKENS, _CLOSING_TOKENS)
    async for event in next_(replace(request, options=options, max_tokens=most)):
        if isinstance(event, TurnDone):
            figures.add(event)
            tally.add(_try_of(event, question))
        elif not isinstance(event, TextDelta | ThinkingDelta):
            yield event


class _Figures:
    """Sums over all tries, for the answer's statistics."""

    def __init__(self) -> None:
        self.first: TurnStats | None = None
        self.tokens = 0

    def add(self, event: TurnDone) -> None:
        if event.stats is not None:
            self.first = self.first or event.stats
            self.tokens += event.stats.completion_tokens

    def done(self, chosen: Try, tally: Tally, how: str, seconds: float) -> TurnDone:
        stats = self.first
        if stats is not None:
            stats = replace(
                stats,
                completion_tokens=self.tokens,
                seconds=seconds,
                tokens_per_second=self.tokens / seconds if seconds else 0.0,
                stop_reason="stop",
            )
        message = Message(
            "assistant",
            chosen.text,
            thinking=chosen.thinking,
            stats={"reason": tally_data(tally, seconds, done=True, how=how)},
        )
        return TurnDone(message, stats)


def tally_data(tally: Tally, seconds: float, *, done: bool, how: str = "") -> dict[str, Any]:
    """The tally as JSON-able data; each try with its text, so that it can be opened."""
    return {
        "votes": [{"answer": key, "votes": count} for key, count in tally.votes],
        "tries": [
            {"text": one.text, "thinking": one.thinking, "answer": one.key, "tokens": one.tokens}
            for one in tally.tries
        ],
        "tokens": tally.tokens,
        "seconds": round(seconds, 3),
        "confidence": round(tally.confidence, 4),
        "done": done,
        "how": how,
        "text": in_words(tally, seconds, how),
    }


def in_words(tally: Tally, seconds: float, how: str) -> str:
    """The vote in one line, while it goes on (``how`` is empty) and at its end."""
    tries = len(tally.tries)
    head = f"{tries} {'try' if tries == 1 else 'tries'} in {seconds:.1f} s"
    if not how:
        return f"{head}, {tally.confidence:.0%} sure"
    shown = ", ".join(f"{key}: {count}" for key, count in tally.votes[:4])
    return f"{head}, chosen by {how}" + (f" ({shown})" if shown else "")


def _tally_event(tally: Tally, clock: _Clock, *, done: bool, how: str = "") -> PluginEvent:
    return PluginEvent("reason", "tally", tally_data(tally, clock.spent, done=done, how=how))
