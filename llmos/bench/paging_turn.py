"""One turn of the paging benchmark: what is counted in it, and the time before evaluation begins."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from llmos.bench.paging_baselines import NewTokens, PlainWords, SlidingWindow
from llmos.bench.paging_parts import Parts
from llmos.conversation.conversation import Conversation
from llmos.conversation.session import Session
from llmos.types import PageOut, PrefillProgress, TurnDone

#: Tokens of the window.
WINDOW = 2048


@dataclass(slots=True)
class Tally:
    """Counts of one run."""

    asked: int = 0
    found: int = 0
    by_sliding: int = 0
    by_words: int = 0
    newer_first: int = 0
    superseded: int = 0
    evictions: int = 0
    prefilled: int = 0
    prefilled_sliding: int = 0
    new_tokens: int = 0
    turns: int = 0
    never_tokens: list[int] = field(default_factory=list)
    overhead: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Run:
    """A chat under measurement, with what it is compared with."""

    session: Session
    conversation: Conversation
    sliding: SlidingWindow = field(default_factory=lambda: SlidingWindow(WINDOW))
    words: PlainWords = field(default_factory=PlainWords)
    new: NewTokens = field(default_factory=NewTokens)
    parts: Parts | None = None


async def bookkeeping(session: Session) -> float:
    """Wait until what a turn leaves behind is written, as it is before a person has read the answer.

    Returns:
        seconds that it took.
    """
    began = time.perf_counter()
    while any(job.name == "turn done" for job in session.jobs.list()):
        await asyncio.sleep(0.001)
    return time.perf_counter() - began


async def say_turn(run: Run, text: str, tally: Tally, *, compare: bool = True) -> None:
    """One turn; counts evictions, evaluated and new tokens, and the time before evaluation begins.

    The next message comes at once when the turn's own bookkeeping is done; longer background work
    (vectors of pages, summaries) goes on beside it.

    Args:
        run: the chat.
        text: what is said.
        tally: takes the counts.
        compare: also what the turn is to a sliding window and to plain BM25.
    """
    conversation = run.conversation
    evicted, stats = 0, None
    booked: dict[str, float] = {}
    if run.parts is not None:
        run.parts.begin()
    began, processor, first = time.perf_counter(), time.process_time(), False
    async for event in conversation.send(text, options={"max_tokens": 4}):
        if isinstance(event, PrefillProgress) and not first:
            first = True
            tally.overhead.append(time.perf_counter() - began)
            tally.processor.append(time.process_time() - processor)
            booked = run.parts.note() if run.parts is not None else {}
        elif isinstance(event, PageOut):
            evicted += 1
        elif isinstance(event, TurnDone) and event.stats is not None:
            stats = event.stats
    tally.after.append(await bookkeeping(run.session))
    tally.turns += 1
    tally.evictions += evicted
    if run.parts is not None and first:
        run.parts.end(tally.overhead[-1], bool(evicted), booked)
    if stats is None:
        return
    tally.prefilled += stats.prompt_tokens - stats.cached_tokens
    tally.new_tokens += await run.new.of_turn(run.session, conversation, stats, bool(evicted))
    if compare:
        said = [slot.page for slot in conversation.window.slots[-2:]]
        tokens = [page.tokens or len(await run.session.kernel.tokenize(page.text)) for page in said]
        lengths = [(page.text, length) for page, length in zip(said, tokens, strict=True)]
        before = run.sliding.evaluated
        run.sliding.add(*lengths)
        tally.prefilled_sliding += run.sliding.evaluated - before
        run.words.add(*lengths)


def percentile(values: list[float], share: float) -> float:
    """The value that a share of the values does not exceed; 0 without any."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
