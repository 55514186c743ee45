"""How evenly answers that are written together grow, in tokens that the kernel generated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llmos.bench.measured_kernel import MeasuredKernel

#: Generated tokens of each running answer, after each step.
Counts = Sequence[Mapping[str, int]]


class ServeKernel(MeasuredKernel):
    """A kernel whose worker notes how many tokens each answer has."""

    worker = "llmos.bench.serve_worker"

    async def counts(self) -> Counts:
        """Tokens that each running answer had after each step since this was asked last."""
        value, _ = await self._ask("counts")
        return list(value)


def _carried(noted: Counts) -> list[dict[str, int]]:
    """Counts of all answers after each step: 0 before one begins, and what it had when it has ended."""
    counts = dict.fromkeys((name for step in noted for name in step), 0)
    steps = []
    for step in noted:
        counts = {**counts, **step}
        steps.append(counts)
    return steps


def share_at_half_time(noted: Counts, tokens: int) -> float:
    """Smallest to largest count when half of all tokens are there, from the first request on.

    Args:
        noted: as the worker did, of answers that began during it.
        tokens: of each answer.
    """
    for counts in _carried(noted):
        if 2 * sum(counts.values()) >= len(counts) * tokens:
            return min(counts.values()) / max(counts.values())
    raise ValueError("The answers ended before half time.")


def share_in_the_middle(noted: Counts) -> float:
    """Smallest to largest growth while all are being written: from the last one's first token to the first end.

    Args:
        noted: as the worker did, of answers that began during it.
    """
    everyone = len({name for step in noted for name in step})
    written = [step for step in noted if len(step) == everyone and min(step.values()) > 0]
    if len(written) < 2:
        raise ValueError("The answers were never written all together.")
    growth = [written[-1][name] - count for name, count in written[0].items()]
    return min(growth) / max(growth)
