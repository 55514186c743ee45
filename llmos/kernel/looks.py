"""Looks at what the model holds likely: next tokens, scores, and the whole distribution along a text."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from llmos.kernel.engine import Floats
from llmos.kernel.frames import unpack_tokens
from llmos.kernel.lanes import alternatives
from llmos.kernel.operation_part import OperationPart
from llmos.kernel.prefill import CHUNK_ALONE
from llmos.kernel.protocol import KernelError
from llmos.kernel.sampler import Sampler
from llmos.kernel.scheduler import Task
from llmos.types import SamplingSettings

#: Most candidates that are reported at each place of a trace.
_MOST_TOP = 100


class Looks(OperationPart):
    """The operations that report probabilities and write nothing; part of ``Operations``."""

    def _op_next_tokens(self, number: int, message: dict[str, Any], payload: bytes) -> None:
        tokens, top = unpack_tokens(payload), int(message["top"])
        sampling = SamplingSettings(**message["sampling"]) if message["sampling"] else None

        def task() -> Task:
            engine = self.loaded.engine
            final_row = 0
            for _, row, last in self._evaluate(tokens, len(tokens)):
                final_row = row
                if not last:
                    yield
            logits = engine.logits(final_row)
            if sampling is None:
                total = log_sum(logits)
                self._reply(number, alternatives(engine, logits, total, max(1, top)))
                return
            sampler = Sampler(engine, sampling)
            try:
                for token in tokens[-64:]:
                    sampler.accept(token)
                found = sampler.distribution(logits)[:top]
            finally:
                sampler.close()
            self._reply(
                number,
                [
                    (token, engine.piece(token).decode("utf-8", "replace"), chance, float(logits[token]))
                    for token, chance in found
                ],
            )

        self._running().add_task(number, task())

    def _op_score(self, number: int, message: dict[str, Any], payload: bytes) -> None:
        tokens = unpack_tokens(payload)
        begin = max(1, int(message.get("start", 1)))

        def task() -> Task:
            engine, values = self.loaded.engine, [0.0] * begin
            for first, row, _ in self._evaluate(tokens, begin):
                for at in range(max(0, begin - 1 - first), row + 1):
                    following = first + at + 1
                    if following < len(tokens):
                        logits = engine.logits(at)
                        values.append(float(logits[tokens[following]]) - log_sum(logits))
                yield
            self._reply(number, values[: len(tokens)])

        self._running().add_task(number, task())

    def _op_trace(self, number: int, message: dict[str, Any], payload: bytes) -> None:
        tokens = unpack_tokens(payload)
        begin, top = int(message["start"]), min(int(message["top"]), _MOST_TOP)
        if not 1 <= begin <= len(tokens):
            raise KernelError(f"A trace begins at one of the places 1 to {len(tokens):,}, not {begin:,}.")

        def task() -> Task:
            engine, places = self.loaded.engine, list[Any]()
            for first, row, _ in self._evaluate(tokens, begin):
                for at in range(max(0, begin - 1 - first), row + 1):
                    logits, following = engine.logits(at), first + at + 1
                    total = log_sum(logits)
                    token = tokens[following] if following < len(tokens) else -1
                    value = float(logits[token]) - total if token >= 0 else 0.0
                    rows = alternatives(engine, logits, total, top) if top > 0 else []
                    places.append([token, value, entropy(logits, total), rows])
                yield
            self._reply(number, places)

        self._running().add_task(number, task())

    def _evaluate(self, tokens: list[int], begin: int) -> Iterator[tuple[int, int, bool]]:
        """Evaluate tokens in a sequence of their own, chunk by chunk.

        The rows from ``begin - 1`` on have logits: they tell of the tokens from ``begin`` on. What
        comes before is taken from the cache where it is there.

        Yields (index of the chunk's first token, its last row, whether it is the last chunk).
        """
        engine, table = self.loaded.engine, self.loaded.table
        if not tokens:
            raise KernelError("There are no tokens to evaluate.")
        if len(tokens) >= engine.context:
            raise KernelError(
                f"The text is {len(tokens):,} tokens long but the context window holds {engine.context:,}."
            )
        engine.check_tokens(tokens)
        begin = min(max(1, begin), len(tokens))
        slot = table.claim("#probe" if begin == len(tokens) else "#trace")
        if slot is None or slot.busy:
            raise KernelError("All KV sequences are in use; try again when an answer has ended.")
        slot.busy = 1
        try:
            done = table.reuse(slot, tokens[:begin])
            while done < len(tokens):
                chunk = tokens[done : done + CHUNK_ALONE]
                rows = [
                    (token, done + at, slot.number, done + at >= begin - 1) for at, token in enumerate(chunk)
                ]
                while engine.decode(rows) == 1:
                    if not table.free_least_used():
                        raise KernelError("The context window is full; try again when an answer has ended.")
                table.append(slot, chunk)
                yield done, len(chunk) - 1, done + len(chunk) == len(tokens)
                done += len(chunk)
        finally:
            slot.busy = 0
            if begin == 1:  # nothing of it will be used again
                table.free(slot)


def log_sum(logits: Floats) -> float:
    """Natural log of the sum of exponentials."""
    top = float(logits.max())
    return top + math.log(float(np.exp(logits - top, dtype=np.float32).sum(dtype=np.float64)))


def entropy(logits: Floats, total: float) -> float:
    """Shannon entropy in nats of the softmax of logits.

    Args:
        logits: [vocabulary].
        total: their ``log_sum``.
    """
    logs = logits.astype(np.float64) - total
    chances = np.exp(logs)
    # 0 * -inf is no number; what cannot come adds nothing.
    return float(-(chances[chances > 0] * logs[chances > 0]).sum())
