"""An answer while it is being written: kept in the store at least every second."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from dataclasses import replace

from llmos.conversation.database import StoreError
from llmos.conversation.store import Store
from llmos.types import Message, MessageStatus

#: Seconds between two commits of an answer that grows.
FLUSH_SECONDS = 0.5


class PartialAnswer:
    """Collects an answer's text and commits it as it grows.

    Args:
        store: where it goes.
        message: the answer, still empty; its id, chat and parent are set.
        warn: told once when the store cannot take it; the answer goes on in memory.

    Attributes:
        unsaved: the finished answer, when the store could not take it.
    """

    def __init__(self, store: Store, message: Message, warn: Callable[[str], None]) -> None:
        self._store = store
        self._message = message
        self._warn = warn
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._written = 0
        self._stored = False
        self._finished = False
        self._warned = False
        self.unsaved: Message | None = None
        self._lock = threading.Lock()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to commit in the background."""
        self._task = asyncio.create_task(self._flush())

    def add(self, text: str = "", thinking: str = "") -> None:
        """More of the answer."""
        if text:
            self._text.append(text)
        if thinking:
            self._thinking.append(thinking)

    @property
    def empty(self) -> bool:
        """True while nothing has come."""
        return not self._text and not self._thinking

    @property
    def kept(self) -> bool:
        """True when the answer is in the store, or waits to be stored with the next message."""
        return self._stored or self.unsaved is not None

    def message(self, status: MessageStatus) -> Message:
        """The answer so far."""
        return replace(
            self._message, content="".join(self._text), thinking="".join(self._thinking), status=status
        )

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            if len(self._text) + len(self._thinking) > self._written:
                await self._store.run(self._write_partial)

    def _write_partial(self) -> None:
        """On the store's thread: what has come by now."""
        with self._lock:
            if self._finished:
                return
            self._written = len(self._text) + len(self._thinking)
            try:
                self._put(self.message("partial"))
            except StoreError as error:
                self._failed(error)

    def _put(self, message: Message) -> None:
        if self._stored:
            self._store.update_message(message)
        else:
            self._store.add_message(message)
            self._stored = True

    def _failed(self, error: StoreError) -> None:
        if not self._warned:
            self._warned = True
            self._warn(f"{error} The answer goes on, but is not kept yet.")

    async def finish(self, message: Message) -> None:
        """Commit the finished (or stopped, crashed) answer."""
        await self._end_task()
        await self._store.run(self.finish_now, message)

    def finish_now(self, message: Message) -> None:
        """As ``finish``, at once and without the loop."""
        if self._task is not None:
            self._task.get_loop().call_soon_threadsafe(self._task.cancel)
        with self._lock:
            if self._finished:
                return
            self._finished = True
            if not (message.content or message.thinking or message.tool_calls or self._stored):
                return  # nothing came: an empty answer would only confuse the next turn
            try:
                self._put(message)
            except StoreError as error:
                self.unsaved = message
                self._failed(error)

    async def _end_task(self) -> None:
        if self._task is not None and not self._task.done():
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({self._task})
