"""One long chat for the paging benchmark: does the overhead of a turn grow with it, does memory?"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable

from llmos.bench.figures import Figure, figure
from llmos.bench.paging_facts import filler, make_facts
from llmos.bench.paging_parts import Parts
from llmos.bench.paging_turn import Run, Tally, percentile, say_turn
from llmos.conversation.session import Session

#: Lines of progress.
_LINES = 40


async def long_chat(
    session: Session, turns: int, say: Callable[[str], None], parts: Parts | None = None
) -> list[Figure]:
    """Talk for many turns: facts told and asked for again and again, filler between.

    Args:
        session: the program.
        turns: how many.
        say: takes progress.
        parts: books where the time goes.
    """
    rng = random.Random("paging-long")
    facts = make_facts(200, rng)
    run, tally = Run(session, session.conversation(), parts=parts), Tally()
    memory: list[float] = []
    step, line = max(1, turns // 10), max(1, turns // _LINES)
    began = time.perf_counter()
    for number in range(turns):
        fact = facts[number % len(facts)]
        text = fact.asked if number > 400 and number % 5 == 0 else fact.told if number % 7 == 0 else filler(rng)
        await say_turn(run, text, tally, compare=False)
        if (number + 1) % step == 0:
            memory.append(_memory())
        if (number + 1) % line == 0:
            last = tally.overhead[-line:]
            left = (time.perf_counter() - began) / (number + 1) * (turns - number - 1)
            say(
                f"long chat: turn {number + 1:,} of {turns:,}, overhead {1e3 * percentile(last, 0.5):.0f} ms, "
                f"p99 {1e3 * percentile(last, 0.99):.0f} ms, {_memory():.0f} MB, about {left / 60:.0f} min left"
            )
    return _figures(turns, step, tally, memory)


def _figures(turns: int, step: int, tally: Tally, memory: list[float]) -> list[Figure]:
    tenths = range(0, turns, step)[:10]
    parts = [tally.overhead[at : at + step] for at in tenths]
    medians = [percentile(part, 0.5) for part in parts]
    processor = [percentile(tally.processor[at : at + step], 0.5) for at in tenths]
    # What a logarithm grows by between the middles of the two tenths.
    bound = math.log(0.95 * turns) / math.log(0.15 * turns) if turns >= 100 else 2.0
    second = min(1, len(parts) - 1)
    return [
        figure(
            f"overhead of a turn over {turns} turns, p99",
            1e3 * percentile(tally.overhead, 0.99),
            "ms",
            "<=",
            30,
        ),
        figure("bookkeeping after a turn, median", 1e3 * percentile(tally.after, 0.5), "ms"),
        figure("bookkeeping after a turn, p99", 1e3 * percentile(tally.after, 0.99), "ms"),
        *(
            figure(f"overhead, p99 of turns {at * step + 1} to {(at + 1) * step}", 1e3 * value, "ms")
            for at, value in enumerate(percentile(part, 0.99) for part in parts)
        ),
        figure(
            "median overhead, last tenth to second tenth",
            medians[-1] / max(1e-9, medians[second]),
            "ratio",
            "<=",
            bound,
        ),
        figure(
            "median processor time of the program in it, last tenth to second tenth",
            processor[-1] / max(1e-9, processor[second]),
            "ratio",
        ),
        figure("memory growth from the second tenth to the last", memory[-1] - memory[second], "MB", "<=", 64),
        figure(
            "evaluated to new tokens over the long chat", tally.prefilled / max(1, tally.new_tokens), "ratio"
        ),
    ]


def _memory() -> float:
    """Resident memory of this process in MB."""
    import psutil

    return float(psutil.Process().memory_info().rss) / 1e6
