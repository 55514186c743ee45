"""Background jobs of plugins: a thread each, with progress, listed in the face, stoppable."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Literal

from llmos.plugins import quiet
from llmos.types import UserError, new_id

#: Ended jobs that stay listed.
_KEPT = 20


class RunningJob:
    """One job; implements ``host_api.Job`` and is what the face lists."""

    def __init__(self, plugin: str, name: str) -> None:
        """Made by ``JobBoard.start``."""
        self.id = new_id()
        self.plugin = plugin
        self.name = name
        self.done = 0.0
        self.total = 0.0
        self.text = ""
        self.state: Literal["running", "done", "failed", "stopped"] = "running"
        self.started_at = time.time()
        self._stop = threading.Event()

    @property
    def cancelled(self) -> bool:
        """True when it was stopped; the job must look and return."""
        return self._stop.is_set()

    def progress(self, done: float, total: float, text: str = "") -> None:
        """Show how far it is."""
        self.done, self.total, self.text = float(done), float(total), str(text)

    def stop(self) -> None:
        """Ask it to return."""
        self._stop.set()

    def wait(self, seconds: float) -> bool:
        """Sleep for a while; True at once when the job was stopped."""
        return self._stop.wait(seconds)


class JobBoard:
    """Every plugin's jobs.

    Args:
        fault: told ``(plugin, where, error)`` when a job raises.
    """

    def __init__(self, fault: Callable[[str, str, BaseException], None]) -> None:
        """See the class."""
        self._fault = fault
        self._jobs: list[RunningJob] = []
        self._lock = threading.Lock()

    def start(self, plugin: str, name: str, function: Callable[[Any], None]) -> RunningJob:
        """Run ``function(job)`` on a thread of its own."""
        job = RunningJob(plugin, name)
        with self._lock:
            ended = [one for one in self._jobs if one.state != "running"]
            self._jobs = [one for one in self._jobs if one not in ended[:-_KEPT]]
            self._jobs.append(job)
        threading.Thread(
            target=self._run, args=(job, function), name=f"job-{plugin}-{name}", daemon=True
        ).start()
        return job

    def adopt(self, job: RunningJob) -> None:
        """List a job that runs elsewhere (in a plugin's own process)."""
        with self._lock:
            self._jobs.append(job)

    def _run(self, job: RunningJob, function: Callable[[Any], None]) -> None:
        quiet.silence_this_thread(job.plugin)
        try:
            function(job)
        except UserError as error:
            job.text, job.state = str(error), "failed"
        except BaseException as error:
            job.text, job.state = f"{type(error).__name__}: {error}", "failed"
            self._fault(job.plugin, f"the job {job.name}", error)
        else:
            job.state = "stopped" if job.cancelled else "done"

    def all(self) -> tuple[RunningJob, ...]:
        """Running jobs and the last ones that ended."""
        return tuple(self._jobs)

    def find(self, job_id: str) -> RunningJob | None:
        """A job by its id."""
        return next((job for job in self._jobs if job.id == job_id), None)

    def stop_all(self, plugin: str = "") -> None:
        """Ask a plugin's jobs, or all, to return."""
        for job in self._jobs:
            if not plugin or job.plugin == plugin:
                job.stop()


class PluginJobs:
    """One plugin's view of the board; implements ``host_api.Jobs``."""

    def __init__(
        self, board: JobBoard, plugin: str, idle: Callable[[], bool], quiet_seconds: Callable[[], float]
    ) -> None:
        """``idle`` tells whether nobody waits for an answer, ``quiet_seconds`` for how long all is quiet."""
        self._board = board
        self._plugin = plugin
        self._idle = idle
        self._quiet_seconds = quiet_seconds

    def start(self, name: str, function: Callable[[Any], None]) -> RunningJob:
        """Run ``function(job)`` on a thread of its own."""
        return self._board.start(self._plugin, name, function)

    def idle(self) -> bool:
        """True when nobody waits for an answer."""
        return self._idle()

    def quiet_seconds(self) -> float:
        """Seconds since somebody typed or an answer was being made; 0 while one is."""
        return self._quiet_seconds()
