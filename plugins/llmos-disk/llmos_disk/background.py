"""Index runs and watching as background jobs of the program."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from llmos.plugins import Job
from llmos.types import UserError
from llmos_disk.hosted import HostedDisk
from llmos_disk.indexer import Control, Report
from llmos_disk.lock import Busy
from llmos_disk.progress import Progress
from llmos_disk.watch import Watcher


@dataclass(slots=True)
class Running:
    """A job and how to end it."""

    stop: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)


def _control(job: Job, running: Running) -> Control:
    def report(progress: Progress) -> None:
        job.progress(progress.done, progress.total or 1, progress.line())

    return Control(lambda: job.cancelled or running.stop.is_set(), report)


def start_index(hosted: HostedDisk) -> str:
    """Index every folder in the background; returns a line for the user."""
    if (before := hosted.jobs.get("index")) is not None and not before.ended.is_set():
        return "Indexing is under way."
    running = hosted.jobs["index"] = Running()

    def work(job: Job) -> None:
        try:
            report = hosted.disk.index(None, _control(job, running))
            for missing in report.missing:
                hosted.host.notify(missing, "warning")
            if report.indexed or report.removed or report.stopped:
                hosted.host.notify(report.line())
        except Busy:
            hosted.host.notify(
                "The index is being written already; what was added is taken up there or next time."
            )
        except UserError as error:
            hosted.host.notify(str(error), "error")
        finally:
            running.ended.set()

    hosted.host.jobs.start("Indexing files", work)
    return "Indexing in the background."


def start_watch(hosted: HostedDisk) -> None:
    """Keep the index in step while the program runs; does nothing when it already is."""
    if "watch" in hosted.jobs:
        return
    running = hosted.jobs["watch"] = Running()

    def changed(report: Report) -> None:
        for missing in report.missing:
            hosted.host.notify(missing, "warning")

    def work(job: Job) -> None:
        try:
            Watcher(hosted.disk, changed).run(_control(job, running))
        except UserError as error:
            hosted.host.notify(str(error), "error")
        finally:
            running.ended.set()

    hosted.host.jobs.start("Watching folders", work)
