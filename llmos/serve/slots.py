"""Which KV sequence a request gets: a free one whose last prompt shares the longest prefix."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager


def shared_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """Tokens that two prompts share at their beginning."""
    count = 0
    for first, second in zip(one, other, strict=False):
        if first != second:
            break
        count += 1
    return count


class Slots:
    """A pool of named sequences; callers wait in order when all are taken.

    Args:
        count: how many requests decode together.
    """

    def __init__(self, count: int) -> None:
        self._free: dict[str, tuple[int, ...]] = {f"serve-{number}": () for number in range(count)}
        self._places = asyncio.Semaphore(count)

    @property
    def free(self) -> int:
        """Slots that nobody holds."""
        return len(self._free)

    @asynccontextmanager
    async def take(self, prompt: Sequence[int]) -> AsyncIterator[str]:
        """Hold a sequence for a prompt."""
        async with self._places:
            name = max(
                self._free, key=lambda one: (shared_prefix(self._free[one], prompt), -len(self._free[one]))
            )
            del self._free[name]
            try:
                yield name
            finally:
                self._free[name] = tuple(prompt)
