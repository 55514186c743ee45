"""Lets several chats answer at once only as far as the kernel's cache has room for all of them.

Chats share one KV cache. Two long ones that answer together would overflow it, and one of them
would end in an error; here the later one waits for its turn instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class Turnstile:
    """Counts the tokens of generations that run.

    Args:
        capacity: cells of the kernel's cache, in tokens.
    """

    def __init__(self, capacity: Callable[[], int]) -> None:
        self._capacity = capacity
        self._taken = 0
        self._inside = 0
        self._waiting: list[asyncio.Future[None]] = []

    def would_wait(self, tokens: int) -> bool:
        """Whether a generation of that size has to wait now; the first one never does."""
        return self._inside > 0 and self._taken + tokens > self._capacity()

    @property
    def shared(self) -> bool:
        """True while more than one generation runs."""
        return self._inside > 1

    @asynccontextmanager
    async def enter(self, tokens: int) -> AsyncIterator[None]:
        """Wait until there is room for so many tokens, and hold it."""
        while self.would_wait(tokens):
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            try:
                await future
            finally:
                self._waiting.remove(future)
        self._inside += 1
        self._taken += tokens
        try:
            yield
        finally:
            self._inside -= 1
            self._taken -= tokens
            for waiter in self._waiting:
                if not waiter.done():
                    waiter.set_result(None)
