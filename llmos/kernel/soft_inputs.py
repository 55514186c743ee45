"""Vectors in place of tokens: the entrance that a picture takes into a model.

A vision projector turns an image into a row of vectors of the model's own width, and they go
into the forward pass where the vectors of tokens go otherwise. Here such vectors may be given
directly, to see what they make a model say; no projector is needed for it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmos.kernel import model
from llmos.kernel.engine import Engine
from llmos.kernel.looks import log_sum
from llmos.kernel.protocol import KernelError, NotAvailable
from llmos.kernel.scheduler import CHUNK_ALONE, Scheduler, Task
from llmos.kernel.sequences import SequenceTable, Slot

#: Most vectors of one picture, pictures of one call, and tokens that are written after each.
MOST_VECTORS, MOST_CANDIDATES, MOST_WRITTEN = 64, 256, 64
#: Position schemes (``llama_rope_type``) that want several numbers for each vector.
_MANY_POSITIONS = {8, 24, 40}
#: llama.cpp aborts when these are given vectors alone: they need token ids in every layer.
_TOKENS_ONLY = {"gemma3n"}


class SoftInputs:
    """The operation that evaluates vectors; part of ``Operations``."""

    _reply: Callable[..., None]

    @property
    def loaded(self) -> model.Loaded:
        """The loaded model."""
        raise NotImplementedError

    def _running(self) -> Scheduler:
        raise NotImplementedError

    def _op_vectors(self, number: int, message: dict[str, Any], payload: bytes) -> None:
        engine = self.loaded.engine
        before, after, target = ([int(one) for one in message[name]] for name in ("before", "after", "target"))
        most = min(max(0, int(message["most"])), MOST_WRITTEN)
        vectors = checked(engine, payload, message["shape"], str(self.loaded.info["architecture"]))
        engine.check_tokens([*before, *after, *target])
        if not before or not after:
            raise KernelError("Vectors stand between tokens: some must come before and some behind them.")
        room = len(before) + vectors.shape[1] + len(after) + max(len(target), most)
        if room >= engine.context or len(after) + len(target) > CHUNK_ALONE:
            raise KernelError("The tokens around the vectors are too many for this window; shorten them.")

        def task() -> Task:
            table = self.loaded.table
            slot = table.claim("#vectors")
            if slot is None or slot.busy:
                raise KernelError("All KV sequences are in use; try again when an answer has ended.")
            slot.busy, whole = 1, False
            try:
                done = table.reuse(slot, before)
                while done < len(before):
                    chunk = before[done : done + CHUNK_ALONE]
                    _decode(
                        engine, table, [(one, done + at, slot.number, False) for at, one in enumerate(chunk)]
                    )
                    table.append(slot, chunk)
                    done += len(chunk)
                    yield
                found = []
                for one in vectors:
                    found.append(_evaluate(engine, table, slot, one, after, target, most))
                    yield
                whole = True
            finally:
                slot.busy = 0
                if not whole:  # a part of a picture may be left in it
                    table.free(slot)
            self._reply(number, found)

        self._running().add_task(number, task())


def checked(engine: Engine, payload: bytes, shape: list[int], architecture: str) -> NDArray[np.float32]:
    """The vectors [candidates, vectors, width] of a request.

    Raises:
        KernelError: wrong size, too many, or no numbers; ``NotAvailable`` where the model takes none.
    """
    c, native_model = engine.handles[:2]
    width = engine.embedding_width
    other = getattr(c, "llama_model_n_embd_inp", None)
    if (
        architecture in _TOKENS_ONLY
        or not engine.partial_removal
        or int(c.llama_model_rope_type(native_model)) in _MANY_POSITIONS
        or (other is not None and int(other(native_model)) != width)
    ):
        raise NotAvailable(f"Vectors in place of tokens cannot be given to a model of the kind {architecture}.")
    if len(shape) != 3 or shape[2] != width:
        raise KernelError(f"This model takes vectors of {width} numbers, not of the shape {shape}.")
    if not (0 < shape[0] <= MOST_CANDIDATES and 0 < shape[1] <= MOST_VECTORS):
        raise KernelError(f"1 to {MOST_CANDIDATES} rows of 1 to {MOST_VECTORS} vectors can be given at a time.")
    if len(payload) != 4 * shape[0] * shape[1] * shape[2]:
        raise KernelError("The vectors do not have the size that they are said to have.")
    vectors = np.frombuffer(payload, np.float32).reshape(shape)
    if not np.isfinite(vectors).all():
        raise KernelError("The vectors hold values that are no finite numbers.")
    return vectors


def _evaluate(
    engine: Engine, table: SequenceTable, slot: Slot, one: NDArray[np.float32], after: list[int],
    target: list[int], most: int,
) -> list[list[Any]]:  # fmt: skip
    """Log-probabilities of the target's tokens behind one row of vectors, and what is written there."""
    start = len(slot.tokens)
    place = start + len(one)
    try:
        while decode_vectors(engine, one, start, slot.number) == 1:
            if not table.free_least_used():
                raise KernelError("The context window is full; try again when an answer has ended.")
        tokens = [*after, *target[:-1]]
        first = len(after) - 1
        _decode(engine, table, [(t, place + at, slot.number, at >= first) for at, t in enumerate(tokens)])
        engine.check_finite(first)
        values = []
        for at, token in enumerate(target):
            logits = engine.logits(first + at)
            values.append(float(logits[token]) - log_sum(logits))
        written: list[int] = []
        following = int(engine.logits(first).argmax())
        if most:
            engine.remove(slot.number, place + len(after))
        while len(written) < most and not engine.is_end(following):
            written.append(following)
            if len(written) < most:
                _decode(engine, table, [(following, place + len(after) + len(written) - 1, slot.number, True)])
                following = int(engine.logits(0).argmax())
        return [values, written]
    finally:
        engine.remove(slot.number, start)


def _decode(engine: Engine, table: SequenceTable, rows: list[tuple[int, int, int, bool]]) -> None:
    while engine.decode(rows) == 1:
        if not table.free_least_used():
            raise KernelError("The context window is full; try again when an answer has ended.")


def decode_vectors(engine: Engine, vectors: NDArray[np.float32], position: int, sequence: int) -> int:
    """Evaluate vectors as if they were tokens; no row has logits.

    Args:
        engine: the loaded model.
        vectors: [vectors, width], checked before.
        position: of the first one in the sequence.
        sequence: KV sequence.

    Returns:
        0, or 1 when the KV cache has no room.

    Raises:
        KernelError: a fatal native error.
    """
    c, _, context, _ = engine.handles
    data = np.ascontiguousarray(vectors, np.float32)
    batch = c.llama_batch_init(len(data), data.shape[1], 1)
    try:
        batch.n_tokens = len(data)
        ctypes.memmove(batch.embd, data.ctypes.data, data.nbytes)
        for at in range(len(data)):
            batch.pos[at], batch.n_seq_id[at], batch.logits[at] = position + at, 1, 0
            batch.seq_id[at][0] = sequence
        engine.forget_outputs()
        code = int(c.llama_decode(context, batch))
    finally:
        c.llama_batch_free(batch)
    if code not in (0, 1):
        raise KernelError(f"The forward pass failed inside llama.cpp (code {code}).")
    return code
