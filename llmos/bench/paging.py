"""``llmos bench paging``: is a fact in the window when it is asked for, and at what cost?

The whole conversation path runs: store, window, the RAM plugin, a real kernel. Dialogues are seeded;
the model only has to write a few tokens, so a small one serves. Compared with a sliding window (is
the fact among the last messages that fit?) and with BM25 alone under the same budget.
"""

from __future__ import annotations

import asyncio
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmos.bench.figures import Figure, figure
from llmos.bench.paging_facts import Fact, changed, filler, make_facts, never_told
from llmos.conversation.conversation import Conversation
from llmos.conversation.session import Session, open_session
from llmos.settings import Folders, Settings
from llmos.types import Message, PageOut, PrefillProgress, TurnDone

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
    new_tokens: int = 0
    turns: int = 0
    never_tokens: list[int] = field(default_factory=list)
    overhead: list[float] = field(default_factory=list)


def settings(model: str) -> Settings:
    """Only the RAM plugin, a 2,048-token window, short greedy answers."""
    made = Settings()
    made.model.context = _WINDOW
    made.model.name = model
    made.chat.temperature = 0.0
    made.chat.max_tokens = 4
    made.plugins.disabled = ["disk", "web", "code", "mcp", "reason"]
    return made


async def say_turn(conversation: Conversation, text: str, tally: Tally) -> None:
    """One turn; counts evictions, evaluated tokens and the time before evaluation begins."""
    began, first = time.perf_counter(), 0.0
    async for event in conversation.send(text, options={"max_tokens": 4}):
        if isinstance(event, PrefillProgress) and not first:
            first = time.perf_counter() - began
        elif isinstance(event, PageOut):
            tally.evictions += 1
        elif isinstance(event, TurnDone) and event.stats is not None:
            tally.prefilled += event.stats.prompt_tokens - event.stats.cached_tokens
    tally.overhead.append(first)
    tally.turns += 1
    slots = conversation.window.slots[-2:]
    tally.new_tokens += sum(page.tokens for slot in slots for page in slot.pages)


def in_window(conversation: Conversation, text: str) -> bool:
    """Whether a text was in the window when the last answer was written."""
    return any(text in page.text for page in conversation.window.pages if page.where == "window")


def place_of(conversation: Conversation, text: str) -> int:
    """Place of a page in the window; -1 when it is not there."""
    pages = conversation.window.pages
    return next((place for place, page in enumerate(pages) if text in page.text), -1)


async def _sliding(session: Session, messages: list[Message], told: str) -> bool:
    """Whether a plain sliding window of the same size would still hold the fact."""
    left = _WINDOW - 256
    for message in reversed(messages):
        left -= len(await session.kernel.tokenize(message.content)) + 8
        if left < 0:
            return False
        if told in message.content:
            return True
    return False


async def dialogue(session: Session, seed: int, turns: int, planted: int, say: Say) -> tuple[Tally, Tally]:
    """One seeded dialogue: facts in the first two thirds, questions in the last third.

    Returns:
        counts for questions in the same words, and in other words.
    """
    rng = random.Random(f"paging-{seed}")
    facts = make_facts(planted, rng)
    updates = {place: new for place, fact in enumerate(facts[: planted // 4]) if (new := changed(fact, rng))}
    conversation = session.conversation()
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
        await say_turn(conversation, text, tallies[0])
        if number % 40 == 0:
            say(f"seed {seed}: turn {number} of {turns}")
    asked = [(fact, updates.get(place)) for place, fact in enumerate(facts)]
    rng.shuffle(asked)
    for number, (fact, newer) in enumerate(asked[: max(1, turns - first_part)]):
        await _ask(session, conversation, fact, newer, tallies[number % 2], paraphrase=bool(number % 2))
    for _ in range(5):
        await say_turn(conversation, never_told(rng), tallies[0])
        slot = next(one for one in reversed(conversation.window.slots) if one.message.role == "user")
        tallies[0].never_tokens.append(sum(page.tokens for page in slot.attached))
    await session.leave(conversation.chat_id)
    return tallies


async def _ask(
    session: Session,
    conversation: Conversation,
    fact: Fact,
    newer: Fact | None,
    tally: Tally,
    *,
    paraphrase: bool,
) -> None:
    messages = session.store.branch(conversation.chat_id)
    current = newer or fact
    tally.by_sliding += await _sliding(session, messages, current.told)
    question = fact.paraphrase if paraphrase else fact.asked
    await say_turn(conversation, question, tally)
    tally.asked += 1
    tally.found += in_window(conversation, current.told)
    if newer is not None:
        new, old = place_of(conversation, newer.told), place_of(conversation, fact.told)
        tally.superseded += 1
        tally.newer_first += new >= 0 and (old < 0 or new < old)


def _embedder(folder: Path) -> Path | None:
    """The default embedder, where the disk plugin is installed."""
    with suppress(ImportError):
        from llmos_disk.convert_minilm import default_embedder

        found: Path | None = default_embedder(folder)
        return found
    return None


def _memory() -> float:
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6


async def _run(
    model: str, seeds: int, turns: int, planted: int, long_turns: int, words: bool, say: Say
) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="llmos-paging-") as folder:
        root = Path(folder)
        where = Folders(root / "config", root / "data", root / "cache", root / "log").make()
        async with open_session(settings(model), where=where) as session:
            await session.load_model()
            embedder = None if words else await asyncio.to_thread(_embedder, where.cache)
            if embedder is not None:
                session.embedder.register(embedder)
            say("by words and meaning" if embedder else "by words alone: no embedder is installed")
            same, other = Tally(), Tally()
            for seed in range(seeds):
                for whole, part in zip(
                    (same, other), await dialogue(session, seed, turns, planted, say), strict=True
                ):
                    _add(whole, part)
            figures = _figures(same, other, bool(embedder))
            if long_turns:
                figures += await _long(session, long_turns, say)
        return figures


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
        figure(
            "tokens brought for what was never told",
            sum(same.never_tokens) / max(1, len(same.never_tokens)),
            "tokens a question",
            "<=",
            512,
        ),
        figure("evicted pages", same.evictions + other.evictions, "pages"),
        figure("evaluated tokens a turn", prefilled / turns, "tokens"),
        figure("evaluated to new and recalled tokens", prefilled / new, "ratio", "<=", 1.1),
        figure("overhead of a turn, median", 1e3 * _percentile(same.overhead + other.overhead, 0.5), "ms"),
        figure(
            "overhead of a turn, p99", 1e3 * _percentile(same.overhead + other.overhead, 0.99), "ms", "<=", 30
        ),
    ]


async def _long(session: Session, turns: int, say: Say) -> list[Figure]:
    """One long chat: does the overhead of a turn grow, does memory?"""
    rng = random.Random("paging-long")
    facts = make_facts(200, rng)
    conversation, tally = session.conversation(), Tally()
    before = 0.0
    for number in range(turns):
        fact = facts[number % len(facts)]
        text = fact.asked if number > 400 and number % 5 == 0 else fact.told if number % 7 == 0 else filler(rng)
        await say_turn(conversation, text, tally)
        if number == turns // 4:
            before = _memory()
        if number % 500 == 0:
            say(f"long chat: turn {number} of {turns}")
    tenth = max(1, turns // 10)
    early, late = tally.overhead[tenth : 2 * tenth], tally.overhead[-tenth:]
    return [
        figure(
            f"overhead of a turn over {turns} turns, p99",
            1e3 * _percentile(tally.overhead, 0.99),
            "ms",
            "<=",
            30,
        ),
        figure(
            "median overhead, last tenth to second tenth",
            _percentile(late, 0.5) / max(1e-9, _percentile(early, 0.5)),
            "ratio",
        ),
        figure("memory growth over the last three quarters", _memory() - before, "MB", "<=", 64),
    ]


def run(
    model: str = "",
    seeds: int = 3,
    turns: int = 240,
    facts: int = 60,
    long: int = 0,
    words: int = 0,
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
        long: turns of the long chat; 0 leaves it out.
        words: 1 searches by words alone.
        quick: one short dialogue.
        say: takes progress.
    """
    if quick:
        seeds, turns, facts = 1, 90, 24
    return asyncio.run(_run(model, int(seeds), int(turns), int(facts), int(long), bool(int(words)), say))
