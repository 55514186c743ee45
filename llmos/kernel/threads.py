"""How many CPU threads are fastest here: tried on the loaded model for a fraction of a second."""

from __future__ import annotations

import os
import time
from collections.abc import Callable


def cpu_limit() -> int:
    """CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


def candidates(limit: int) -> list[int]:
    """Thread counts worth trying, most promising first: all, half (one per core), and fewer."""
    found = [limit, max(1, limit // 2)]
    if limit <= 4:
        found += range(limit, 0, -1)
    elif limit > 8:
        found.append(8)
    return list(dict.fromkeys(found))


def probe(
    decode_one: Callable[[int], None], limit: int | None = None, *, budget: float = 0.6, rounds: int = 6
) -> tuple[int, float]:
    """Find the fastest thread count.

    Args:
        decode_one: sets this many threads and decodes one token.
        limit: most threads; None takes the CPUs at hand.
        budget: seconds for all of it; a count that has had one round may be left with that.
        rounds: most decodes for each count.

    Returns:
        (threads, seconds per token with them).
    """
    counts = candidates(cpu_limit() if limit is None else limit)
    best = {count: float("inf") for count in counts}
    end = time.perf_counter() + budget
    decode_one(counts[0])  # the first decode builds the graph
    for _ in range(rounds):
        for count in counts:
            if time.perf_counter() > end and best[count] < float("inf"):
                continue
            start = time.perf_counter()
            decode_one(count)
            best[count] = min(best[count], time.perf_counter() - start)
    fastest = min(counts, key=lambda count: best[count])
    return fastest, best[fastest]
