"""Shares the forward pass among jobs: continuous batching, two priorities, chunked prefill.

One ``step`` is one llama_decode: a token for every lane that decodes and, beside them, the next
pieces of the prompts that are being read (``prefill`` shares the room out). While the person's turn
runs, background jobs get one step in eight, so that they go on without being felt. Between steps
stops are obeyed.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import Any

from llmos.kernel.batch import Row
from llmos.kernel.engine import Engine
from llmos.kernel.jobs import Job
from llmos.kernel.lanes import Lane
from llmos.kernel.prefill import Piece, Prefill, reads_for
from llmos.kernel.protocol import KernelError
from llmos.kernel.sequences import SequenceTable, Slot

#: While a person's job runs, background jobs take part in one step of this many.
BACKGROUND_SHARE = 8

#: Sequences that background jobs leave free for the person.
KEPT_FREE = 2

Emit = Callable[[int, dict[str, Any]], None]
Task = Generator[None, None, None]


class Scheduler:
    """Runs jobs on one engine.

    Args:
        engine: the loaded model.
        table: its KV sequences.
        emit: called with a job's id and an event message.
        largest: largest context that would fit this machine and model, to offer for long prompts.
    """

    def __init__(self, engine: Engine, table: SequenceTable, emit: Emit, largest: int = 0) -> None:
        self._engine = engine
        self._largest = largest
        self._table = table
        self._emit = emit
        self._waiting: deque[Job] = deque()
        self._active: list[Job] = []
        self._tasks: deque[tuple[int, Task]] = deque()
        self._stopped: set[int] = set()
        self._tick = 0
        self._rate = 0.0
        self._last_step = 0.0
        self._prefill = Prefill()

    # -- from the worker ----------------------------------------------------------------------

    def submit(self, job: Job) -> None:
        """Queue a job.

        Raises:
            KernelError: the prompt is empty, too long or of another tokenizer; too many samples.
        """
        job.check_prompt(self._engine, self._largest)
        self._waiting.append(job)

    def add_task(self, number: int, task: Task) -> None:
        """Queue other work that yields between pieces; its errors are emitted under ``number``."""
        self._tasks.append((number, task))

    def stop(self, number: int) -> None:
        """End a job before the next step; safe to call from another thread."""
        self._stopped.add(number)

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._active or self._waiting or self._tasks)

    @property
    def running(self) -> Sequence[Job]:
        """Jobs that were admitted and have not ended, the oldest first."""
        return tuple(self._active)

    @property
    def counts(self) -> tuple[int, int]:
        """(jobs running, jobs waiting)."""
        return len(self._active), len(self._waiting)

    @property
    def tokens_per_second(self) -> float:
        """Decoded tokens per second of late, all lanes together; 0 when idle."""
        return self._rate if self._active else 0.0

    def drop_all(self, sentence: str) -> None:
        """End every job with an error (the model is being replaced)."""
        for job in [*self._active, *self._waiting]:
            self._fail(job, KernelError(sentence))
        for number, task in self._tasks:
            task.close()
            self._emit(number, {"e": "error", "text": sentence, "kind": "KernelError"})
        self._waiting.clear()
        self._active.clear()
        self._tasks.clear()

    # -- one step -----------------------------------------------------------------------------

    def step(self) -> None:
        """Do one piece of work: obey stops, admit jobs, one task piece, one llama_decode."""
        if self._stopped:
            self._obey_stops()
        if self._tasks:
            self._advance_task()
        if self._waiting:
            self._admit()
        if not self._active:
            return
        self._tick += 1
        jobs = self._taking_part()
        rows: list[Row] = []
        lanes: list[tuple[Job, Lane]] = []
        for job in jobs:
            for lane in job.lanes:
                if lane.reason is None:
                    rows.append((lane.pending, len(lane.slot.tokens), lane.slot.number, True))
                    lanes.append((job, lane))
        pieces = self._prefill.pieces(self._to_read(jobs), beside=bool(rows))
        read: list[tuple[Piece, int]] = []
        for piece in pieces:
            rows.extend(piece.rows())
            read.append((piece, len(rows) - 1))
        if not rows:
            return
        before = time.perf_counter()
        if not self._decode(rows, jobs):
            return
        self._prefill.took(len(rows) - len(lanes), time.perf_counter() - before)
        self._after(lanes, read)

    def _taking_part(self) -> list[Job]:
        """Jobs of this step: the person's first, background ones when it is their turn."""
        if len(self._active) == 1:
            return self._active
        person = [job for job in self._active if job.priority == "person"]
        if not person:
            return self._active
        if len(person) == len(self._active) or self._tick % BACKGROUND_SHARE:
            return person
        # Background first in its own step: its prompts are read in no other.
        return [job for job in self._active if job.priority != "person"] + [job for job in person if job.lanes]

    def _to_read(self, jobs: list[Job]) -> list[Job]:
        """Jobs whose prompts are read now; one whose beginning an older one is reading waits and shares it."""
        reading: list[Job] = []
        for job in jobs:
            if job.lanes:
                continue
            if job.done == job.cached and self._table.shares_beginnings:
                if any(reads_for(older, job) for older in reading):
                    job.held = True
                    continue
                if job.held:
                    self._reuse(job)
            reading.append(job)
        return reading

    def _reuse(self, job: Job) -> None:
        """Take over what is known of a prompt, and tell."""
        assert job.slot is not None
        job.held = False
        job.cached = job.done = self._table.reuse(job.slot, job.prompt)
        self._emit(job.id, job.prefill_message())

    def _decode(self, rows: list[Row], jobs: list[Job]) -> bool:
        """Evaluate rows, making room when the KV cache is full; False when nothing was evaluated."""
        try:
            while self._engine.decode(rows) == 1:
                if not self._table.free_least_used():
                    self._give_way(jobs)
                    return False
        except KernelError as error:
            for job in jobs:
                self._fail(job, error, empty=True)
            return False
        return True

    def _give_way(self, jobs: list[Job]) -> None:
        """Nothing idle is left to free: end one job, a background one first, else the longest answer."""
        background = [job for job in self._active if job.priority == "background"]
        if background and len(self._active) > 1:
            sentence = "The context window is full with the person's turn; the background job was ended."
            self._fail(background[-1], KernelError(sentence), empty=True)
            return
        lanes = [lane for job in jobs for lane in job.lanes if lane.reason is None]
        if lanes:
            lane = max(lanes, key=lambda one: len(one.slot.tokens))
            lane.reason = "length"
            self._settle(time.perf_counter())
            return
        sentence = f"The context window of {self._engine.context:,} tokens is full; shorten the prompt."
        self._fail(jobs[-1], KernelError(sentence), empty=True)

    def _after(self, lanes: list[tuple[Job, Lane]], read: list[tuple[Piece, int]]) -> None:
        """Book what was evaluated, sample, send text."""
        now = time.perf_counter()
        if lanes:
            seconds = now - self._last_step
            if 0 < seconds < 5:
                rate = len(lanes) / seconds
                self._rate = 0.9 * self._rate + 0.1 * rate if self._rate else rate
        self._last_step = now
        for row, (job, lane) in enumerate(lanes):
            if job not in self._active:
                continue  # another of its samples failed just now
            self._table.append(lane.slot, (lane.pending,))
            try:
                lane.sample_from(row, now)
            except KernelError as error:
                self._fail(job, error)
        for piece, row in read:
            job = piece.job
            assert job.slot is not None
            self._table.append(job.slot, piece.tokens)
            job.done += len(piece.tokens)
            self._emit(job.id, job.prefill_message())
            if job.done == len(job.prompt):
                self._start_lanes(job, row, now)
        self._settle(now)

    def _start_lanes(self, job: Job, row: int, now: float) -> None:
        """The prompt is in: fork the samples and draw their first tokens."""
        assert job.slot is not None
        try:
            for sample in range(job.samples):
                slot: Slot | None = job.slot
                if sample:
                    slot = self._table.claim(f"{job.sequence}#{job.id}.{sample}")
                    if slot is None:
                        raise KernelError("All KV sequences are in use; ask for fewer samples.")
                    slot.busy = 1
                    self._table.fork(job.slot, slot)
                assert slot is not None
                lane = job.make_lane(self._engine, slot, sample)
                job.lanes.append(lane)
                if job.max_tokens == 0:
                    lane.reason = "length"  # only the prompt was to be read
                else:
                    lane.sample_from(row, now)
        except KernelError as error:
            self._fail(job, error)

    def _settle(self, now: float) -> None:
        """End lanes that reached a limit, send what is due, end jobs whose lanes have all ended."""
        for job in list(self._active):
            running = False
            for lane in job.lanes:
                if lane.told:
                    continue
                if lane.reason is None and (
                    (job.max_tokens is not None and lane.count >= job.max_tokens)
                    or len(lane.slot.tokens) + 1 >= self._engine.context
                ):
                    lane.reason = "length"
                if lane.reason is None:
                    running = True
                    message = lane.flush(now)
                    if message is not None:
                        self._emit(job.id, message)
                else:
                    self._end_lane(job, lane, now)
            if job.lanes and not running:
                self._end_job(job)

    def _end_lane(self, job: Job, lane: Lane, now: float) -> None:
        lane.finish_text()
        message = lane.flush(now, force=True)
        if message is not None:
            self._emit(job.id, message)
        self._emit(job.id, job.finished_message(lane, now))
        lane.told = True
        lane.sampler.close()
        if lane.sample:
            self._table.free(lane.slot)

    def _end_job(self, job: Job) -> None:
        self._active.remove(job)
        self._stopped.discard(job.id)
        if job.slot is not None:
            job.slot.busy = 0
            self._table.touch(job.slot)
            if not job.keep:
                self._table.free(job.slot)
        self._emit(job.id, {"e": "end"})

    def _fail(self, job: Job, error: KernelError, *, empty: bool = False) -> None:
        """End a job with an error; ``empty`` also frees its KV, whose content is in doubt."""
        for lane in job.lanes:
            lane.sampler.close()
            if lane.sample and not lane.told:
                self._table.free(lane.slot)
        if job.slot is not None:
            job.slot.busy = 0
            if empty or not job.keep:
                self._table.free(job.slot)
        if job in self._active:
            self._active.remove(job)
        self._stopped.discard(job.id)
        self._emit(job.id, {"e": "error", "text": str(error), "kind": type(error).__name__})

    # -- admission and stops ------------------------------------------------------------------

    def _admit(self) -> None:
        """Start waiting jobs whose sequence is idle and for which there are slots; the person's first."""
        for job in sorted(self._waiting, key=lambda one: one.priority != "person"):
            slot = self._table.find(job.sequence)
            if slot is not None and slot.busy:
                continue
            # A person's turn must never wait for a background job to end.
            kept_free = KEPT_FREE if job.priority == "background" and self._active else 0
            if job.samples + kept_free > self._free_slots():
                continue
            slot = self._table.claim(job.sequence)
            if slot is None:
                continue
            slot.busy = 1
            job.slot = slot
            self._waiting.remove(job)
            self._active.append(job)
            self._reuse(job)

    def _free_slots(self) -> int:
        taken = sum(max(1, job.samples) for job in self._active)
        return self._engine.max_sequences - taken

    def _obey_stops(self) -> None:
        now = time.perf_counter()
        for number in list(self._stopped):
            self._stopped.discard(number)
            for job in list(self._waiting):
                if job.id == number:
                    self._waiting.remove(job)
                    self._end_unstarted(job, now)
            for job in list(self._active):
                if job.id == number and job.lanes:
                    for lane in job.lanes:
                        lane.reason = lane.reason or "stopped"
                elif job.id == number:
                    self._end_unstarted(job, now)
        self._settle(now)

    def _end_unstarted(self, job: Job, now: float) -> None:
        """A job stopped before its first token: what was prefilled stays for the next turn."""
        self._emit(job.id, job.unstarted_message(now))
        if job in self._active:
            self._end_job(job)
        else:
            self._emit(job.id, {"e": "end"})

    def _advance_task(self) -> None:
        number, task = self._tasks[0]
        try:
            next(task)
        except StopIteration:
            self._tasks.popleft()
        except KernelError as error:
            self._tasks.popleft()
            self._emit(number, {"e": "error", "text": str(error), "kind": type(error).__name__})
        except Exception as error:  # a bug in a task must not end the worker
            print(f"kernel task failed: {error!r}", file=sys.stderr, flush=True)
            self._tasks.popleft()
            self._emit(number, {"e": "error", "text": f"The kernel failed: {error}.", "kind": "KernelError"})
