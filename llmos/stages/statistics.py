"""Shares with their intervals, for experiments on panels and for benchmarks."""

from __future__ import annotations

import math
from dataclasses import dataclass

_Z = 1.96


def wilson(right: int, of: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927).

    Args:
        right: how often it came out so.
        of: how often it was tried; the interval of nothing is the whole range.
    """
    if not of:
        return 0.0, 1.0
    share = right / of
    middle = (share + _Z * _Z / (2 * of)) / (1 + _Z * _Z / of)
    half = _Z * math.sqrt(share * (1 - share) / of + _Z * _Z / (4 * of * of)) / (1 + _Z * _Z / of)
    # At shares of 0 and 1 rounding could put the share just outside.
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


@dataclass(frozen=True, slots=True)
class Share:
    """How often something came out, with its sample size.

    Attributes:
        what: what was counted.
        right: how often it came out so.
        of: sample size.
    """

    what: str
    right: int
    of: int

    @property
    def value(self) -> float:
        """The share itself, 0 of an empty sample."""
        return self.right / self.of if self.of else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval."""
        return wilson(self.right, self.of)

    def row(self) -> list[str]:
        """What, share, sample size and interval as cells of a table."""
        low, high = self.interval
        return [self.what, f"{self.right} of {self.of}", f"{self.value:.0%}", f"{low:.0%} to {high:.0%}"]


#: Heads of the columns of ``Share.row``.
COLUMNS = ["what was counted", "sample", "share", "95 % interval (Wilson)"]
