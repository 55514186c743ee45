"""A kernel worker that also runs the yardstick: a bare llama_decode loop on the very same context.

Started as ``python -m llmos.bench.measured_worker`` in place of the kernel's own worker. Two copies
of a model in two processes differ in speed by several per cent through where their memory lies, so
the bare loop must run on the same weights as what it is compared with. The worker also books how its
time goes: forward pass, sampling, text, pipe.
"""

from __future__ import annotations

import functools
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from llmos.kernel.engine import Engine
from llmos.kernel.lanes import Lane
from llmos.kernel.operations import Event, Operations, Reply
from llmos.kernel.protocol import KernelError
from llmos.kernel.sampler import Sampler
from llmos.kernel.scheduler import Scheduler
from llmos.kernel.worker import Pipe, main

#: What is timed: (name, class, method). An outer one contains the inner ones.
TIMED: tuple[tuple[str, type, str], ...] = (
    ("step", Scheduler, "step"),
    ("draw", Sampler, "draw"),
    ("take", Lane, "sample_from"),
    ("send", Pipe, "send"),
)

_CHUNK = 128


class Clock:
    """Books the steps after the first one (which reads the prompt) since the last ``take``."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = defaultdict(float)
        self._marks: list[tuple[float, float]] = []
        self._plain: list[tuple[Any, str, Callable[..., Any]]] = []

    def detail(self, on: bool, library: Any) -> None:
        """Begin or end to time each part, which itself costs about one per cent at the smallest size.

        Args:
            on: begin, or end.
            library: the low-level module; llama_decode itself is timed, so that filling the batch
                counts as the scheduler's.
        """
        for place, method, plain in self._plain:
            setattr(place, method, plain)
        self._plain.clear()
        if on:
            for name, place, method in (*TIMED, ("decode", library, "llama_decode")):
                plain = getattr(place, method)
                self._plain.append((place, method, plain))
                setattr(place, method, self._timed(name, plain))

    def _timed(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def timed(*args: Any, **values: Any) -> Any:
            start = time.perf_counter()
            try:
                return method(*args, **values)
            finally:
                self._seconds[name] += time.perf_counter() - start

        return timed

    def step_done(self) -> None:
        """A step has ended."""
        if not self._marks:
            self._seconds.clear()
        self._marks.append((time.perf_counter(), time.process_time()))

    def take(self) -> dict[str, Any]:
        """What was booked: seconds by name, the number of steps, their seconds and processor seconds."""
        first, last = (self._marks[0], self._marks[-1]) if self._marks else ((0.0, 0.0), (0.0, 0.0))
        value = {
            "seconds": dict(self._seconds),
            "steps": max(0, len(self._marks) - 1),
            "wall": last[0] - first[0],
            "processor": last[1] - first[1],
        }
        self._seconds.clear()
        self._marks.clear()
        return value


class MeasuredOperations(Operations):
    """The worker's operations and four more: ``bare_decode``, ``bare_evaluate``, ``detail``, ``times``."""

    def __init__(self, event: Event, reply: Reply) -> None:
        super().__init__(event, reply)
        self.clock = Clock()

    def after_step(self) -> None:
        """Book the step."""
        super().after_step()
        self.clock.step_done()

    def _op_detail(self, number: int, message: dict[str, Any], _payload: bytes) -> None:
        """Begin or end to time each part."""
        self.clock.detail(bool(message["on"]), self.loaded.engine.handles[0])
        self._reply(number, None)

    def _op_times(self, number: int, _message: dict[str, Any], _payload: bytes) -> None:
        """What the clock has booked since the last time."""
        self._reply(number, self.clock.take())

    def _op_bare_decode(self, number: int, message: dict[str, Any], _payload: bytes) -> None:
        """Seconds and processor seconds of NEW decodes of BATCH tokens, one a sequence, after a prompt."""
        engine = self.loaded.engine
        prompt, new, batch = (int(message[name]) for name in ("prompt", "new", "batch"))
        sequences = self._free_sequences(batch)
        try:
            for sequence in sequences:
                _fill(engine, sequence, 0, prompt)
            value = _decode_loop(engine, sequences, prompt, new)
        finally:
            for sequence in sequences:
                engine.remove(sequence)
        self._reply(number, value)

    def _op_bare_evaluate(self, number: int, message: dict[str, Any], _payload: bytes) -> None:
        """Seconds of evaluating NEW tokens after the first HISTORY tokens that a sequence holds."""
        engine = self.loaded.engine
        history, new = int(message["history"]), int(message["new"])
        source = self.loaded.table.find(message["sequence"])
        if source is None or len(source.tokens) < history:
            raise KernelError(f"The sequence {message['sequence']} does not hold {history} tokens.")
        (sequence,) = self._free_sequences(1)
        engine.copy(source.number, sequence, history)
        try:
            start = time.perf_counter()
            _fill(engine, sequence, history, new)
            seconds = time.perf_counter() - start
        finally:
            engine.remove(sequence)
        self._reply(number, seconds)

    def _free_sequences(self, count: int) -> list[int]:
        """Numbers of the last KV sequences, emptied."""
        engine, table = self.loaded.engine, self.loaded.table
        numbers = list(range(engine.max_sequences - count, engine.max_sequences))
        used = {slot.number: slot for slot in table.named()}
        for number in numbers:
            if number in used:
                table.free(used[number])
        return numbers


def _fill(engine: Engine, sequence: int, start: int, count: int) -> None:
    """Evaluate ``count`` tokens from position ``start``, the last with logits."""
    for at in range(start, start + count, _CHUNK):
        size = min(_CHUNK, start + count - at)
        rows = [
            (20 + position % 200, position, sequence, position == start + count - 1)
            for position in range(at, at + size)
        ]
        if engine.decode(rows):
            raise KernelError("The KV cache has no room for the yardstick.")


def _decode_loop(engine: Engine, sequences: list[int], prompt: int, new: int) -> tuple[float, float]:
    """The yardstick: llama_decode and the logits' address, token after token; nothing else."""
    library, _, context, _ = engine.handles
    count = len(sequences)
    batch = library.llama_batch_init(count, 0, 1)
    try:
        batch.n_tokens = count
        for row, sequence in enumerate(sequences):
            batch.n_seq_id[row], batch.seq_id[row][0], batch.logits[row] = 1, sequence, 1
        token, start, processor = 20, time.perf_counter(), time.process_time()
        for position in range(prompt, prompt + new):
            token = 20 + (token * 7919 + position) % (engine.vocabulary - 20)
            for row in range(count):
                batch.token[row], batch.pos[row] = token, position
            if library.llama_decode(context, batch):
                raise KernelError("The KV cache has no room for the yardstick.")
            library.llama_get_logits_ith(context, count - 1)
        return time.perf_counter() - start, time.process_time() - processor
    finally:
        library.llama_batch_free(batch)


if __name__ == "__main__":
    main(MeasuredOperations)
