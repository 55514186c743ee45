"""How many CPU threads are fastest here: tried on the loaded model for a fraction of a second."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping


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


#: Pace (seconds a token) of a model that is left to one thread where one is tried.
_QUICK = 0.001
#: How much slower two threads may be than one in an empty window and still be taken.
_SHARED = 1.15


def settle(seconds: Mapping[int, float]) -> int:
    """The thread count to use.

    A model that writes a thousand tokens a second leaves the other processors to the program. Else
    the fastest count, but two rather than one where they are nearly as fast: a conversation makes
    attention longer, which threads share, and it is tried in an empty window.

    Args:
        seconds: best time of a token by count.
    """
    if seconds.get(1, 1.0) < _QUICK:
        return 1
    fastest = min(seconds, key=lambda count: seconds[count])
    if fastest == 1 and seconds.get(2, float("inf")) <= _SHARED * seconds[1]:
        return 2
    return fastest


def probe(
    decode_one: Callable[[int], None],
    limit: int | None = None,
    *,
    tokens: int = 1,
    budget: float = 0.6,
    rounds: int = 6,
) -> tuple[int, float]:
    """Find the fastest thread count.

    Args:
        decode_one: sets this many threads and decodes.
        limit: most threads; None takes the CPUs at hand.
        tokens: how many it decodes; with one, ``settle`` chooses.
        budget: seconds for all of it; a count that has had one round may be left with that.
        rounds: most decodes for each count.

    Returns:
        (threads, seconds of a decode with them).
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
    chosen = settle(best) if tokens == 1 else min(counts, key=lambda count: best[count])
    return chosen, best[chosen]
