"""The middleware: a thinking budget, several tries in one batch, a vote, an answer in time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

from llmos.plugins import Next
from llmos.types import (
    AnswerNow,
    Event,
    Message,
    PrefillProgress,
    TextDelta,
    ThinkingDelta,
    TokenCount,
    TurnDone,
    TurnRequest,
    TurnStats,
)
from llmos_reason.answers import THINK_THEN_ANSWER, key_of
from llmos_reason.budget import Budget
from llmos_reason.checks import Checker
from llmos_reason.effort import Effort
from llmos_reason.report import tally_data, tally_event
from llmos_reason.voting import Tally, Try

#: Temperature of the tries where the user's own is lower: equal tries would be no vote.
_TEMPERATURE = 0.7
_POLL = 0.05


@dataclass(slots=True)
class Plan:
    """What the user allows.

    Attributes:
        effort: time or until sure.
        most: most tries.
        together: tries decoded in one batch.
        threshold: confidence that decides the vote.
        check: verify arithmetic and programs by running them, where the guard allows it.
        clock: seconds; for tests.
    """

    effort: Effort
    most: int = 32
    together: int = 4
    threshold: float = 0.95
    check: bool = True
    clock: Callable[[], float] = time.monotonic


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
    budget, tally = Budget(plan.effort, now, plan.clock), Tally(plan.threshold)
    checker = Checker.of(request, question, lambda: budget.left) if plan.check else None
    figures = _Figures()
    thoughts: list[str] = []
    draft: list[str] = []
    called: TurnDone | None = None
    form = False  # think-then-answer, for models without thinking tags
    while len(tally.tries) < plan.most and not budget.over and not tally.decided:
        first = not tally.tries
        count = 1 if first else min(plan.together, plan.most - len(tally.tries))
        stream = _until(
            next_(_asking(request, count, form, budget.count)), lambda: budget.over or tally.decided
        )
        async for event in stream:
            if isinstance(event, TurnDone):
                figures.add(event)
                budget.ended(event.stats.tokens_per_second * count if event.stats else 0.0)
                if event.message.tool_calls:
                    called = event
                    break
                one = _try_of(event, question)
                tally.add(await checker.checked(one) if checker is not None else one)
                budget.has_answer = True
                yield tally_event(tally, budget)
            elif isinstance(event, ThinkingDelta):
                budget.saw(len(event.text))
                if first:
                    thoughts.append(event.text)
                    yield event
            elif isinstance(event, PrefillProgress):
                if first:
                    yield event
            elif isinstance(event, TextDelta):
                budget.saw(len(event.text))
                if first:
                    draft.append(event.text)
            elif event is not None:
                yield event
            if budget.tick():
                yield tally_event(tally, budget)
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
    written = False
    if not tally.tries:
        begun = _Begun("".join(thoughts).strip(), "".join(draft))
        async for event in _close(request, next_, begun, figures, question, tally, budget):
            written = written or isinstance(event, TextDelta)
            yield event
    won = tally.winner()
    if won is None:
        return
    chosen, how = won
    yield tally_event(tally, budget, how=how)
    if not written:
        yield TextDelta(chosen.text)
    yield figures.done(chosen, tally, how, budget)


def _asking(request: TurnRequest, count: int, form: bool, tokens: TokenCount) -> TurnRequest:
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
    options = {**request.options, "samples": count, "token_count": tokens}
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


async def _until(stream: AsyncIterator[Event], over: Callable[[], bool]) -> AsyncIterator[Event | None]:
    """Events of a stream until it ends or ``over`` says so, then the stream is closed; None now and then."""
    iterator = stream.__aiter__()
    task: asyncio.Task[Event] | None = None
    try:
        while not over():
            if task is None:
                task = asyncio.ensure_future(_anext(iterator))
            done, _ = await asyncio.wait({task}, timeout=_POLL)
            if not done:
                yield None
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


@dataclass(frozen=True, slots=True)
class _Begun:
    """What the first try had written when the time was up."""

    thoughts: str
    text: str


async def _close(
    request: TurnRequest,
    next_: Next,
    begun: _Begun,
    figures: _Figures,
    question: str,
    tally: Tally,
    budget: Budget,
) -> AsyncIterator[Event]:
    """The time was up in the first try: have its thoughts closed and the answer written, shown as it comes.

    Budget forcing as in s1 (Muennighoff et al. 2025, arXiv 2501.19393). An answer that goes on
    beyond the time is cut there.
    """
    options = {**request.options, "samples": 1, "prefix": begun.text, "thoughts": begun.thoughts}
    asking = replace(request, options=options, max_tokens=budget.closing_tokens(request.max_tokens))
    parts: list[str] = []
    async for event in _until(next_(asking), lambda: bool(parts) and budget.at_an_end):
        if isinstance(event, TurnDone):
            figures.add(event)
            tally.add(_try_of(event, question))
        elif isinstance(event, TextDelta):
            parts.append(event.text)
            yield event
        elif event is not None and not isinstance(event, ThinkingDelta | PrefillProgress):
            yield event
    if not tally.tries and parts:
        text = "".join(parts)
        tally.add(Try(text, begun.thoughts, key_of(text, question), 0, 0.0))


class _Figures:
    """Sums over all tries, for the answer's statistics."""

    def __init__(self) -> None:
        self.first: TurnStats | None = None
        self.tokens = 0

    def add(self, event: TurnDone) -> None:
        if event.stats is not None:
            self.first = self.first or event.stats
            self.tokens += event.stats.completion_tokens

    def done(self, chosen: Try, tally: Tally, how: str, budget: Budget) -> TurnDone:
        stats, seconds = self.first, budget.spent
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
            stats={"reason": tally_data(tally, budget, how=how)},
        )
        return TurnDone(message, stats)
