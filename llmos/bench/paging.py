"""``llmos bench paging``: is a fact in the window when it is asked for, and at what cost?

The whole conversation path runs: store, window, the RAM plugin, a real kernel. Dialogues are seeded;
the model only has to write a few tokens, so a small one serves. Compared with a sliding window (is
the fact among the last messages that fit?) and with BM25 alone under the same budget.
"""

from __future__ import annotations

import asyncio
import math
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmos.bench.figures import Figure, figure
from llmos.bench.paging_baselines import NewTokens, PlainWords, SlidingWindow
from llmos.bench.paging_facts import Fact, changed, filler, make_facts, never_told
from llmos.bench.paging_nested import nested
from llmos.conversation.conversation import Conversation
from llmos.conversation.session import Session, open_session
from llmos.settings import Folders, Settings
from llmos.types import PageOut, PrefillProgress, TurnDone

_WINDOW = 2048
Say = Callable[[str], None]


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


@dataclass(slots=True)
class Run:
    """A chat under measurement, with what it is compared with."""

    session: Session
    conversation: Conversation
    sliding: SlidingWindow = field(default_factory=lambda: SlidingWindow(_WINDOW))
    words: PlainWords = field(default_factory=PlainWords)
    new: NewTokens = field(default_factory=NewTokens)


def settings(model: str) -> Settings:
    """Only the RAM plugin, a 2,048-token window, short greedy answers."""
    made = Settings()
    made.model.context = _WINDOW
    made.model.name = model
    made.chat.temperature = 0.0
    made.chat.max_tokens = 4
    made.plugins.disabled = ["disk", "web", "code", "mcp", "reason"]
    return made


async def say_turn(run: Run, text: str, tally: Tally, *, compare: bool = True) -> None:
    """One turn; counts evictions, evaluated and new tokens, and the time before evaluation begins.

    Args:
        run: the chat.
        text: what is said.
        tally: takes the counts.
        compare: also what the turn is to a sliding window and to plain BM25.
    """
    conversation = run.conversation
    evicted, stats = 0, None
    began, processor, first = time.perf_counter(), time.process_time(), False
    async for event in conversation.send(text, options={"max_tokens": 4}):
        if isinstance(event, PrefillProgress) and not first:
            first = True
            tally.overhead.append(time.perf_counter() - began)
            tally.processor.append(time.process_time() - processor)
        elif isinstance(event, PageOut):
            evicted += 1
        elif isinstance(event, TurnDone) and event.stats is not None:
            stats = event.stats
    tally.turns += 1
    tally.evictions += evicted
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


def in_window(conversation: Conversation, text: str) -> bool:
    """Whether a text was in the window when the last answer was written."""
    return any(text in page.text for page in conversation.window.pages if page.where == "window")


def place_of(conversation: Conversation, text: str) -> int:
    """Place of a page in the window; -1 when it is not there."""
    pages = conversation.window.pages
    return next((place for place, page in enumerate(pages) if text in page.text), -1)


async def dialogue(session: Session, seed: int, turns: int, planted: int, say: Say) -> tuple[Tally, Tally]:
    """One seeded dialogue: facts in the first two thirds, questions in the last third.

    Returns:
        counts for questions in the same words, and in other words.
    """
    rng = random.Random(f"paging-{seed}")
    facts = make_facts(planted, rng)
    updates = {place: new for place, fact in enumerate(facts[: planted // 4]) if (new := changed(fact, rng))}
    run = Run(session, session.conversation())
    conversation = run.conversation
    tallies = Tally(), Tally()
    told: list[str] = [fact.told for fact in facts] + [new.told for new in updates.values()]
    first_part = max(len(told), turns * 2 // 3)
    plan: list[str] = told + [filler(rng) for _ in range(first_part - len(told))]
    head, tail = plan[: len(facts)], plan[len(facts) :]
    rng.shuffle(head)
    late = tail[: len(updates)]
    rest = tail[len(updates) :]
    mixed = [*head, *rest[: len(rest) // 2]]
    rng.shuffle(mixed)
    second = [*late, *rest[len(rest) // 2 :]]
    rng.shuffle(second)
    for number, text in enumerate([*mixed, *second]):
        await say_turn(run, text, tallies[0])
        if number % 40 == 0:
            say(f"seed {seed}: turn {number} of {turns}")
    asked = [(fact, updates.get(place)) for place, fact in enumerate(facts)]
    rng.shuffle(asked)
    for number, (fact, newer) in enumerate(asked[: max(1, turns - first_part)]):
        missed = await _ask(run, fact, newer, tallies[number % 2], paraphrase=bool(number % 2))
        if missed:
            say(f"seed {seed}: {missed}")
    for _ in range(5):
        await say_turn(run, never_told(rng), tallies[0])
        slot = next(one for one in reversed(conversation.window.slots) if one.message.role == "user")
        tallies[0].never_tokens.append(sum(page.tokens for page in slot.attached))
    run.words.close()
    await session.leave(conversation.chat_id)
    return tallies


async def _ask(run: Run, fact: Fact, newer: Fact | None, tally: Tally, *, paraphrase: bool) -> str:
    """Ask for a fact; returns what went wrong, empty when nothing did."""
    current = newer or fact
    question = fact.paraphrase if paraphrase else fact.asked
    tally.by_sliding += run.sliding.holds(current.told)
    tally.by_words += run.words.finds(current.told, question, _WINDOW // 6)
    await say_turn(run, question, tally)
    found, ordered = in_window(run.conversation, current.told), True
    tally.asked += 1
    tally.found += found
    if newer is not None:
        new, old = place_of(run.conversation, newer.told), place_of(run.conversation, fact.told)
        ordered = new >= 0 and (old < 0 or new < old)
        tally.superseded += 1
        tally.newer_first += ordered
    if not found:
        return f"not in the window: {current.told!r} at {question!r}"
    return "" if ordered else f"the older one came first: {fact.told!r} at {question!r}"


def _embedder(folder: Path) -> Path | None:
    """The default embedder, where the disk plugin is installed."""
    with suppress(ImportError):
        from llmos_disk.convert_minilm import default_embedder

        found: Path | None = default_embedder(folder)
        return found
    return None


async def _run(
    model: str,
    seeds: Sequence[int],
    turns: int,
    planted: int,
    long_turns: int,
    words: bool,
    low_water: float | None,
    say: Say,
) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="llmos-paging-") as folder:
        root = Path(folder)
        where = Folders(root / "config", root / "data", root / "cache", root / "log").make()
        chosen = settings(model)
        if low_water is not None:
            chosen.chat.low_water = low_water
        async with open_session(chosen, where=where) as session:
            await session.load_model()
            embedder = None if words else await asyncio.to_thread(_embedder, where.cache)
            if embedder is not None:
                session.embedder.register(embedder)
            say("by words and meaning" if embedder else "by words alone: no embedder is installed")
            same, other = Tally(), Tally()
            for seed in seeds:
                for whole, part in zip(
                    (same, other), await dialogue(session, seed, turns, planted, say), strict=True
                ):
                    _add(whole, part)
            figures = _figures(same, other, bool(embedder)) if seeds else []
            if seeds:
                figures += await nested(session, seeds[0], say)
            if long_turns:
                figures += await _long(session, long_turns, say)
        return figures


def _memory() -> float:
    """Resident memory of this process in MB."""
    import psutil

    return float(psutil.Process().memory_info().rss) / 1e6


def _add(whole: Tally, part: Tally) -> None:
    for name in Tally.__dataclass_fields__:
        value = getattr(part, name)
        setattr(whole, name, getattr(whole, name) + value)


def _percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _figures(same: Tally, other: Tally, meaning: bool) -> list[Figure]:
    turns = max(1, same.turns + other.turns)
    asked = max(1, same.asked + other.asked)
    prefilled, new = same.prefilled + other.prefilled, max(1, same.new_tokens + other.new_tokens)
    superseded = max(1, same.superseded + other.superseded)
    return [
        figure("in the window, asked in the same words", same.found / max(1, same.asked), "share", ">=", 0.99),
        figure(
            "in the window, asked in other words",
            other.found / max(1, other.asked),
            "share",
            ">=" if meaning else "",
            0.95,
        ),
        figure(
            "newer of two facts first", (same.newer_first + other.newer_first) / superseded, "share", ">=", 0.95
        ),
        figure("sliding window of the same size", (same.by_sliding + other.by_sliding) / asked, "share"),
        figure("plain BM25, same words", same.by_words / max(1, same.asked), "share"),
        figure("plain BM25, other words", other.by_words / max(1, other.asked), "share"),
        figure(
            "tokens brought for what was never told",
            sum(same.never_tokens) / max(1, len(same.never_tokens)),
            "tokens a question",
            "<=",
            512,
        ),
        figure("evicted pages", same.evictions + other.evictions, "pages"),
        figure("evaluated tokens a turn", prefilled / turns, "tokens"),
        figure(
            "evaluated tokens a turn, sliding window",
            (same.prefilled_sliding + other.prefilled_sliding) / turns,
            "tokens",
        ),
        figure("evaluated to new and recalled tokens", prefilled / new, "ratio", "<=", 1.1),
        figure("overhead of a turn, median", 1e3 * _percentile(same.overhead + other.overhead, 0.5), "ms"),
        figure(
            "overhead of a turn, p99", 1e3 * _percentile(same.overhead + other.overhead, 0.99), "ms", "<=", 30
        ),
        figure(
            "processor time of the program in it, median",
            1e3 * _percentile(same.processor + other.processor, 0.5),
            "ms",
        ),
    ]


async def _long(session: Session, turns: int, say: Say) -> list[Figure]:
    """One long chat: does the overhead of a turn grow, does memory?"""
    rng = random.Random("paging-long")
    facts = make_facts(200, rng)
    run, tally = Run(session, session.conversation()), Tally()
    memory: list[float] = []
    step = max(1, turns // 10)
    for number in range(turns):
        fact = facts[number % len(facts)]
        text = fact.asked if number > 400 and number % 5 == 0 else fact.told if number % 7 == 0 else filler(rng)
        await say_turn(run, text, tally, compare=False)
        if (number + 1) % step == 0:
            memory.append(_memory())
            last = tally.overhead[-step:]
            say(
                f"long chat: turn {number + 1} of {turns}, overhead {1e3 * _percentile(last, 0.5):.0f} ms, "
                f"p99 {1e3 * _percentile(last, 0.99):.0f} ms, {memory[-1]:.0f} MB"
            )
    parts = [tally.overhead[at : at + step] for at in range(0, turns, step)][:10]
    medians = [_percentile(part, 0.5) for part in parts]
    # What a logarithm grows by between the middles of the two tenths.
    bound = math.log(0.95 * turns) / math.log(0.15 * turns) if turns >= 100 else 2.0
    grown = medians[-1] / max(1e-9, medians[1])
    ratio = tally.prefilled / max(1, tally.new_tokens)
    whole = 1e3 * _percentile(tally.overhead, 0.99)
    return [
        figure(f"overhead of a turn over {turns} turns, p99", whole, "ms", "<=", 30),
        *(
            figure(f"overhead, p99 of turns {at * step + 1} to {(at + 1) * step}", 1e3 * value, "ms")
            for at, value in enumerate(_percentile(part, 0.99) for part in parts)
        ),
        figure("median overhead, last tenth to second tenth", grown, "ratio", "<=", bound),
        figure("memory growth from the second tenth to the last", memory[-1] - memory[1], "MB", "<=", 64),
        figure("evaluated to new tokens over the long chat", ratio, "ratio"),
    ]


def run(
    model: str = "",
    seeds: int = 3,
    turns: int = 240,
    facts: int = 60,
    first: int = 0,
    long: int = 0,
    words: int = 0,
    low_water: str = "",
    quick: bool = False,
    say: Say = lambda text: None,
    **_: Any,
) -> list[Figure]:
    """Run the benchmark.

    Args:
        model: name or path; empty takes the bundled one.
        seeds: dialogues.
        turns: turns of a dialogue.
        facts: planted facts in it.
        first: seed of the first dialogue; those that are reported begin at 0, others serve to look for causes.
        long: turns of the long chat; 0 leaves it out.
        words: 1 searches by words alone.
        low_water: share of the window that stays after an eviction; empty takes the program's own.
        quick: one short dialogue.
        say: takes progress.
    """
    if quick:
        seeds, turns, facts = 1, 90, 24
    low = float(low_water) if low_water else None
    numbers = range(int(first), int(first) + int(seeds))
    return asyncio.run(_run(model, numbers, int(turns), int(facts), int(long), bool(int(words)), low, say))
