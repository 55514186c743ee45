"""``llmos bench paging``: is a fact in the window when it is asked for, and at what cost?

The whole conversation path runs: store, window, the RAM plugin, a real kernel. Dialogues are seeded;
the model only has to write a few tokens, so a small one serves. Compared with a sliding window (is
the fact among the last messages that fit?) and with BM25 alone under the same budget.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from llmos.bench.figures import Figure, figure
from llmos.bench.paging_facts import Fact, changed, filler, make_facts, never_told
from llmos.bench.paging_long import long_chat
from llmos.bench.paging_nested import nested
from llmos.bench.paging_parts import Parts
from llmos.bench.paging_turn import WINDOW, Run, Tally, percentile, say_turn
from llmos.conversation.conversation import Conversation
from llmos.conversation.session import Session, open_session
from llmos.settings import Folders, Settings

Say = Callable[[str], None]


def settings(model: str) -> Settings:
    """Only the RAM plugin, a 2,048-token window, short greedy answers."""
    made = Settings()
    made.model.context = WINDOW
    made.model.name = model
    made.chat.temperature = 0.0
    made.chat.max_tokens = 4
    made.plugins.disabled = ["disk", "web", "code", "mcp", "reason"]
    return made


def in_window(conversation: Conversation, text: str) -> bool:
    """Whether a text was in the window when the last answer was written."""
    return any(text in page.text for page in conversation.window.pages if page.where == "window")


def place_of(conversation: Conversation, text: str) -> int:
    """Place of a page in the window; -1 when it is not there."""
    pages = conversation.window.pages
    return next((place for place, page in enumerate(pages) if text in page.text), -1)


async def dialogue(
    session: Session, seed: int, turns: int, planted: int, say: Say, parts: Parts | None = None
) -> tuple[Tally, Tally]:
    """One seeded dialogue: facts in the first two thirds, questions in the last third.

    Args:
        session: the program.
        seed: of the dialogue.
        turns: how many.
        planted: facts in it.
        say: takes progress.
        parts: books where the time goes.

    Returns:
        counts for questions in the same words, and in other words.
    """
    rng = random.Random(f"paging-{seed}")
    facts = make_facts(planted, rng)
    updates = {place: new for place, fact in enumerate(facts[: planted // 4]) if (new := changed(fact, rng))}
    run = Run(session, session.conversation(), parts=parts)
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
    tally.by_words += run.words.finds(current.told, question, WINDOW // 6)
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
    parts: Parts | None = None,
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
                    (same, other), await dialogue(session, seed, turns, planted, say, parts), strict=True
                ):
                    _add(whole, part)
            figures = _figures(same, other, bool(embedder)) if seeds else []
            if seeds:
                figures += await nested(session, seeds[0], say)
            if long_turns:
                figures += await long_chat(session, long_turns, say, parts)
        return figures


def _add(whole: Tally, part: Tally) -> None:
    for name in Tally.__dataclass_fields__:
        value = getattr(part, name)
        setattr(whole, name, getattr(whole, name) + value)


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
        figure("overhead of a turn, median", 1e3 * percentile(same.overhead + other.overhead, 0.5), "ms"),
        figure(
            "overhead of a turn, p99", 1e3 * percentile(same.overhead + other.overhead, 0.99), "ms", "<=", 30
        ),
        figure("bookkeeping after a turn, p99", 1e3 * percentile(same.after + other.after, 0.99), "ms"),
        figure(
            "processor time of the program in it, median",
            1e3 * percentile(same.processor + other.processor, 0.5),
            "ms",
        ),
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
    parts: int = 0,
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
        parts: 1 tells where the time of a turn goes before evaluation, in all, evicting and the slowest turns.
        quick: one short dialogue.
        say: takes progress.
    """
    if quick:
        seeds, turns, facts = 1, 90, 24
    low = float(low_water) if low_water else None
    numbers = range(int(first), int(first) + int(seeds))
    booked = Parts() if int(parts) else None
    with booked.measure() if booked else nullcontext():
        figures = asyncio.run(
            _run(model, numbers, int(turns), int(facts), int(long), bool(int(words)), low, say, booked)
        )
    for line in booked.lines() if booked else []:
        say(line)
    return figures
