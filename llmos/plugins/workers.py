"""Threads for plugin code: a call runs under a deadline, and a thread that hangs is abandoned."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from llmos.plugins import quiet

#: More calls than this at one time in one plugin means that its threads hang.
MAX_THREADS = 16


class TooSlow(Exception):
    """A call did not return within its deadline; its thread is abandoned."""


class Exited(Exception):
    """Plugin code raised ``SystemExit`` or ``KeyboardInterrupt``."""


class Crowded(Exception):
    """Too many calls of one plugin hang."""


class _Task:
    """One call on its way to a thread and back."""

    __slots__ = ("arguments", "function", "future", "loop")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        future: asyncio.Future[Any],
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
    ) -> None:
        self.loop = loop
        self.future = future
        self.function = function
        self.arguments = arguments


class Worker(threading.Thread):
    """One daemon thread that runs calls, one after the other."""

    def __init__(self, plugin: str) -> None:
        """Started by its pool."""
        super().__init__(name=f"plugin-{plugin}", daemon=True)
        self.plugin = plugin
        self.abandoned = False
        self.inbox: SimpleQueue[_Task | None] = SimpleQueue()

    def run(self) -> None:
        """Take calls until told to end."""
        quiet.silence_this_thread(self.plugin)
        while (task := self.inbox.get()) is not None:
            outcome: Any = None
            problem: BaseException | None = None
            try:
                outcome = task.function(*task.arguments)
            except (SystemExit, KeyboardInterrupt) as error:
                problem = Exited(f"it called for the program's end ({type(error).__name__})")
            except Exception as error:
                problem = error
            except BaseException as error:  # a stray CancelledError would look like one of ours
                problem = Exited(f"it raised {type(error).__name__}")
            try:
                task.loop.call_soon_threadsafe(_settle, task.future, outcome, problem)
            except RuntimeError:
                return  # the loop is closed: the program is ending
            if self.abandoned:
                return
            del task, outcome, problem


def _settle(future: asyncio.Future[Any], outcome: Any, problem: BaseException | None) -> None:
    """On the loop's thread: hand over what the call gave, unless nobody waits any more."""
    if future.done():
        return
    if problem is None:
        future.set_result(outcome)
    elif isinstance(problem, StopIteration):  # a future refuses it
        future.set_exception(RuntimeError("it raised StopIteration"))
    else:
        future.set_exception(problem)


def abandoned() -> bool:
    """True on a plugin's thread that nobody waits for any more; it must not reach the program."""
    thread = threading.current_thread()
    return isinstance(thread, Worker) and thread.abandoned


class WorkerPool:
    """The threads of one plugin; idle ones are used again, hung ones are left behind."""

    def __init__(self, plugin: str) -> None:
        """Threads start with the first call."""
        self._plugin = plugin
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()

    @property
    def busy(self) -> int:
        """Calls under way, hung ones among them."""
        return len(self._busy)

    async def call(self, function: Callable[..., Any], *arguments: Any, deadline: float | None = None) -> Any:
        """Run ``function(*arguments)`` on a thread.

        Args:
            function: sync plugin code.
            arguments: handed over as they are.
            deadline: seconds; None waits until it returns or this coroutine is cancelled.

        Raises:
            TooSlow: the deadline passed.
            Exited: it tried to end the program.
            Crowded: too many earlier calls hang.
            Exception: what the function raised.
        """
        loop = asyncio.get_running_loop()
        worker = self._take()
        future: asyncio.Future[Any] = loop.create_future()
        handle = loop.call_later(deadline, _expire, future, deadline) if deadline else None
        worker.inbox.put(_Task(loop, future, function, arguments))
        try:
            outcome = await future
        except TooSlow:
            worker.abandoned = True
            raise
        except asyncio.CancelledError:
            worker.abandoned = True
            raise
        except BaseException:
            self._give_back(worker)
            raise
        else:
            self._give_back(worker)
            return outcome
        finally:
            if handle is not None:
                handle.cancel()

    def _take(self) -> Worker:
        if self._idle:
            worker = self._idle.pop()
        else:
            self._busy = {one for one in self._busy if one.is_alive()}
            if len(self._busy) >= MAX_THREADS:
                raise Crowded(f"{len(self._busy)} of its calls hang")
            worker = Worker(self._plugin)
            worker.start()
        self._busy.add(worker)
        return worker

    def _give_back(self, worker: Worker) -> None:
        self._busy.discard(worker)
        self._idle.append(worker)

    def close(self) -> None:
        """End idle threads; busy ones are abandoned."""
        for worker in self._busy:
            worker.abandoned = True
        for worker in self._idle:
            worker.inbox.put(None)
        self._idle.clear()


def _expire(future: asyncio.Future[Any], deadline: float) -> None:
    if not future.done():
        future.set_exception(TooSlow(f"no answer within {deadline:g} s"))
