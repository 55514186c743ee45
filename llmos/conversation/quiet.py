"""When nobody types and nobody waits for an answer: the time for background work that must not be felt."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from llmos.types import UserError

T = TypeVar("T")


class Interrupted(UserError):
    """Work of a quiet moment ended early, because the person is back."""


class Quiet:
    """How long it has been quiet, and the work that runs only while it is.

    Args:
        busy: whether an answer is being made now.
        clock: seconds that only grow.
    """

    def __init__(self, busy: Callable[[], bool], clock: Callable[[], float] = time.monotonic) -> None:
        self._busy = busy
        self._clock = clock
        self._last = clock()
        self._work: set[asyncio.Task[Any]] = set()
        self._interrupted: set[asyncio.Task[Any]] = set()

    def touch(self) -> None:
        """Somebody typed, or an answer ended."""
        self._last = self._clock()

    def begin(self) -> None:
        """The person sent something: work of the quiet moment ends at once."""
        self.touch()
        for task in self._work:
            self._interrupted.add(task)
            task.cancel()

    @property
    def seconds(self) -> float:
        """Seconds since somebody typed or an answer was being made; 0 while one is."""
        if self._busy():
            self.touch()
            return 0.0
        return max(0.0, self._clock() - self._last)

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something that the person's next message ends.

        Raises:
            Interrupted: an answer is being made, or began meanwhile.
        """
        if self._busy():
            work.close()
            raise Interrupted("An answer is being made; this waits until it is quiet.")
        task = asyncio.ensure_future(work)
        self._work.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            if task in self._interrupted:
                raise Interrupted("The person is back; this goes on when it is quiet again.") from None
            task.cancel()
            raise
        finally:
            self._work.discard(task)
            self._interrupted.discard(task)
