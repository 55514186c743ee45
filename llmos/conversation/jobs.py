"""Background jobs of the program: named, listed, cancelled at the end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from llmos.types import new_id

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class JobInfo:
    """One job as a face lists it."""

    name: str
    id: str = field(default_factory=new_id)
    began: float = field(default_factory=time.time)
    done: float = 0.0
    total: float = 0.0
    text: str = ""
    state: str = "running"


class Jobs:
    """Runs coroutines beside the chat; a job that fails is logged and never ends the program."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._infos: dict[str, JobInfo] = {}
        self._listeners: list[Callable[[JobInfo], None]] = []

    def start(self, name: str, work: Awaitable[None]) -> JobInfo:
        """Run something in the background.

        Args:
            name: shown to the user.
            work: a coroutine.
        """
        info = JobInfo(name)
        self._infos[info.id] = info
        task = asyncio.ensure_future(self._run(info, work))
        self._tasks[info.id] = task
        task.add_done_callback(lambda _: self._forget(info.id))
        return info

    async def _run(self, info: JobInfo, work: Awaitable[None]) -> None:
        try:
            await work
            info.state = "done"
        except asyncio.CancelledError:
            info.state = "cancelled"
            raise
        except Exception:
            info.state = "failed"
            _log.exception("the job %r failed", info.name)
        finally:
            for listener in list(self._listeners):
                listener(info)

    def _forget(self, job_id: str) -> None:
        self._tasks.pop(job_id, None)
        self._infos.pop(job_id, None)

    def listen(self, listener: Callable[[JobInfo], None]) -> None:
        """Have a function called whenever a job ends."""
        self._listeners.append(listener)

    def list(self) -> list[JobInfo]:
        """Jobs that run now, oldest first."""
        return list(self._infos.values())

    def cancel(self, job_id: str) -> None:
        """Stop one job."""
        task = self._tasks.get(job_id)
        if task is not None:
            task.cancel()

    async def close(self, patience: float = 2.0) -> None:
        """Let the running jobs finish for a moment, then cancel them."""
        running = set(self._tasks.values())
        if not running:
            return
        _, late = await asyncio.wait(running, timeout=patience)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=1.0)
