"""Waits for a quiet moment and then has the summaries made, as a job that the face lists."""

from __future__ import annotations

import threading
from collections.abc import Callable

from llmos.plugins import Host, Job
from llmos.types import UserError

#: How often the waiting thread looks, in seconds.
_LOOK = 1.0


class QuietWork:
    """One thread while something is due, none otherwise.

    Args:
        host: the program; tells how long it has been quiet, and lists the job.
        name: of the job.
        work: does what is due of a chat while its second argument says so; it may stop early.
        look: seconds between looks.
    """

    def __init__(
        self, host: Host, name: str, work: Callable[[str, Callable[[], bool]], int], look: float = _LOOK
    ) -> None:
        self._host = host
        self._name = name
        self._work = work
        self._look = look
        self._due: dict[str, None] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    @property
    def least_quiet(self) -> float:
        """Seconds of quiet before work begins: the user's setting."""
        return float(self._host.settings.get("summaries_after", 10))

    def note(self, chat_id: str) -> None:
        """Something may be due of a chat."""
        with self._lock:
            self._due[chat_id] = None
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._wait, name="ram-quiet", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the waiting."""
        self._stop.set()

    def _wait(self) -> None:
        while not self._stop.wait(self._look):
            with self._lock:
                if not self._due:
                    self._thread = None
                    return
            try:
                quiet = self._host.jobs.quiet_seconds() >= self.least_quiet
            except UserError:  # the program is ending: nothing is due any more
                return
            if quiet:
                self._do()

    def _do(self) -> None:
        """Start the job and wait for its end."""
        ended = threading.Event()
        try:
            self._host.jobs.start(self._name, lambda job: self._run(job, ended))
        except UserError:  # the program is ending
            return
        while not ended.wait(self._look) and not self._stop.is_set():
            pass

    def _run(self, job: Job, ended: threading.Event) -> None:
        """Work through what is due; what was not finished stays due, unless the user stopped the job."""
        try:
            total = 0
            while not self._stop.is_set():
                with self._lock:
                    chat_id = next(iter(self._due), "")
                if not chat_id:
                    return
                if self._may(job):
                    total += self._work(chat_id, lambda: self._may(job))
                    job.progress(total, 0, "summaries")
                if job.cancelled or self._may(job):
                    with self._lock:
                        self._due.pop(chat_id, None)
                else:
                    return
        except Exception:
            if not self._stop.is_set():  # else the program is ending, and the file is closed already
                raise
        finally:
            ended.set()

    def _may(self, job: Job) -> bool:
        """Whether it is still quiet, and nobody stopped the job."""
        ended = job.cancelled or self._stop.is_set()
        return not ended and self._host.jobs.quiet_seconds() >= self.least_quiet
