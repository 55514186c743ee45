"""The kernel's client with a worker that also runs the yardstick and books its time."""

from __future__ import annotations

from dataclasses import dataclass

from llmos.kernel.client import KernelClient
from llmos.kernel.process import WorkerProcess


@dataclass(frozen=True, slots=True)
class Times:
    """Where a worker's time went, in milliseconds a step (for one answer: a token).

    Attributes:
        forward: llama_decode.
        sampling: drawing tokens.
        text: from token to text, stop texts, limits of the answer.
        pipe: packing and sending events.
        scheduler: the rest of a step: batch, bookkeeping.
        between: between two steps: looking for requests.
        processor: processor time of the worker, all threads.
    """

    forward: float
    sampling: float
    text: float
    pipe: float
    scheduler: float
    between: float
    processor: float


class MeasuredKernel(KernelClient):
    """A kernel to measure.

    Attributes:
        worker: module of its worker.
    """

    worker = "llmos.bench.measured_worker"

    async def _start(self) -> WorkerProcess:
        worker = WorkerProcess(self._log, self._on_death, self.worker)
        await worker.start()
        self._worker = worker
        return worker

    async def bare_decode(self, prompt: int, new: int, batch: int = 1) -> tuple[float, float]:
        """Seconds and processor seconds of a bare llama_decode loop on the loaded model's own context.

        Args:
            prompt: tokens that are in each sequence before.
            new: decodes.
            batch: sequences, one token each in every decode.
        """
        value, _ = await self._ask("bare_decode", prompt=prompt, new=new, batch=batch)
        return float(value[0]), float(value[1])

    async def bare_evaluate(self, sequence: str, history: int, new: int) -> float:
        """Seconds of evaluating ``new`` tokens after the first ``history`` tokens of a sequence."""
        value, _ = await self._ask("bare_evaluate", sequence=sequence, history=history, new=new)
        return float(value)

    async def detail(self, on: bool) -> None:
        """Begin or end to time the parts of a step; without, ``times`` knows the processor time alone."""
        await self._ask("detail", on=on)

    async def times(self) -> Times:
        """Where the time went since this was asked last, without the first step."""
        value, _ = await self._ask("times")
        steps = max(1, value["steps"])
        step, forward, draw, take, send = (
            1000 * value["seconds"].get(name, 0.0) / steps
            for name in ("step", "decode", "draw", "take", "send")
        )
        return Times(
            forward=forward,
            sampling=draw,
            text=take - draw,
            pipe=send,
            scheduler=step - forward - take - send,
            between=1000 * value["wall"] / steps - step,
            processor=1000 * value["processor"] / steps,
        )
