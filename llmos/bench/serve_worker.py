"""A measured worker that also notes, step after step, how many tokens each answer has.

Started as ``python -m llmos.bench.serve_worker``. Whether clients get fair shares cannot be told from the
events that they receive: the bytes of a letter that is not whole yet are held back, so that equal shares of
a model with random weights look unequal.
"""

from __future__ import annotations

from typing import Any

from llmos.bench.measured_worker import MeasuredOperations
from llmos.kernel.operations import Event, Reply
from llmos.kernel.worker import main


class ServeOperations(MeasuredOperations):
    """The measured operations and one more: ``counts``."""

    def __init__(self, event: Event, reply: Reply) -> None:
        super().__init__(event, reply)
        self._counts: list[dict[str, int]] = []

    def after_step(self) -> None:
        """Note the answers that are being written, by their sequences."""
        super().after_step()
        running = self.scheduler.running if self.scheduler is not None else ()
        self._counts.append({job.sequence: sum(lane.count for lane in job.lanes) for job in running})

    def _op_counts(self, number: int, _message: dict[str, Any], _payload: bytes) -> None:
        """Tokens that each running answer had after each step since this was asked last."""
        self._reply(number, self._counts)
        self._counts = []


if __name__ == "__main__":
    main(ServeOperations)
