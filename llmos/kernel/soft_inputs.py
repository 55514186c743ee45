"""Vectors in place of tokens: the entrance that a picture takes into a model.

A vision projector turns an image into a row of vectors of the model's own width, and they go
into the forward pass where the vectors of tokens go otherwise. Here such vectors may be given
directly, to see what they make a model say; no projector is needed for it.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmos.kernel.engine import Engine
from llmos.kernel.looks import log_sum
from llmos.kernel.operation_part import OperationPart
from llmos.kernel.prefill import CHUNK_ALONE
from llmos.kernel.protocol import KernelError, NotAvailable
from llmos.kernel.scheduler import Task
from llmos.kernel.sequences import SequenceTable, Slot

#: Most vectors of one picture, pictures of one call, and tokens that are written after each.
MOST_VECTORS, MOST_CANDIDATES, MOST_WRITTEN = 64, 256, 64
#: Position schemes (``llama_rope_type``) that want several numbers for each vector.
_MANY_POSITIONS = {8, 24, 40}
#: llama.cpp aborts when these are given vectors alone: they need token ids in every layer.
_TOKENS_ONLY = {"gemma3n"}


class SoftInputs(OperationPart):
    """The operation that evaluates vectors; part of ``Operations``."""

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
            slot.busy = 1
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
                found: list[list[Any]] = []
                while len(found) < len(vectors):
                    rest = vectors[len(found) :]
                    found += _evaluate(engine, table, slot, rest, after, target, most)
                    yield
            finally:
                slot.busy = 0
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
    engine: Engine, table: SequenceTable, prefix: Slot, vectors: NDArray[np.float32], after: list[int],
    target: list[int], most: int,
) -> list[list[Any]]:  # fmt: skip
    """As many candidates as fit one batch, each in a spare sequence that shares the prefix.

    Returns:
        for each, log-probabilities of the target's tokens, and what is written there.
    """
    tokens = [*after, *target[:-1]]
    room = engine.batch_size // max(len(tokens), vectors.shape[1])
    slots = table.spare(min(room, len(vectors)))
    if not slots:
        raise KernelError("All KV sequences are in use; try again when an answer has ended.")
    start = len(prefix.tokens)
    place, first = start + vectors.shape[1], len(after) - 1
    try:
        for number, slot in enumerate(slots):
            slot.name, slot.busy = f"#vectors.{number}", 1
            table.fork(prefix, slot)
        numbers = [slot.number for slot in slots]
        while decode_vectors(engine, vectors[: len(slots)], start, numbers) == 1:
            _make_room(table)
        rows = [(t, place + at, number, at >= first) for number in numbers for at, t in enumerate(tokens)]
        _decode(engine, table, rows)
        found: list[list[Any]] = []
        following: list[int] = []
        for number in range(len(slots)):
            row = number * len(tokens) + first
            engine.check_finite(row)
            values = []
            for at, token in enumerate(target):
                logits = engine.logits(row + at)
                values.append(float(logits[token]) - log_sum(logits))
            found.append([values, []])
            following.append(int(engine.logits(row).argmax()))
        if most:
            for number in numbers:
                engine.remove(number, place + len(after))
            _write(engine, table, numbers, place + len(after), following, found, most)
        return found
    finally:
        for slot in slots:
            table.free(slot)


def _write(
    engine: Engine, table: SequenceTable, numbers: list[int], place: int, following: list[int],
    found: list[list[Any]], most: int,
) -> None:  # fmt: skip
    """Let every candidate go on with its likeliest tokens, all in one batch, until each has ended."""
    going = list(range(len(numbers)))
    for written in range(most):
        going = [at for at in going if not engine.is_end(following[at])]
        if not going:
            return
        for at in going:
            found[at][1].append(following[at])
        if written + 1 < most:
            _decode(engine, table, [(following[at], place + written, numbers[at], True) for at in going])
            for row, at in enumerate(going):
                following[at] = int(engine.logits(row).argmax())


def _decode(engine: Engine, table: SequenceTable, rows: list[tuple[int, int, int, bool]]) -> None:
    while engine.decode(rows) == 1:
        _make_room(table)


def _make_room(table: SequenceTable) -> None:
    if not table.free_least_used():
        raise KernelError("The context window is full; try again when an answer has ended.")


def decode_vectors(engine: Engine, vectors: NDArray[np.float32], position: int, sequences: list[int]) -> int:
    """Evaluate vectors as if they were tokens; no row has logits.

    Args:
        engine: the loaded model.
        vectors: [sequences, vectors, width], checked before.
        position: of the first one in its sequence.
        sequences: the KV sequence of each row of vectors.

    Returns:
        0, or 1 when the KV cache has no room.

    Raises:
        KernelError: too many rows, or a fatal native error.
    """
    count = vectors.shape[0] * vectors.shape[1]
    if not 0 < count <= engine.batch_size:
        raise KernelError(f"A batch holds 1 to {engine.batch_size} vectors, not {count}.")
    c, _, context, _ = engine.handles
    data = np.ascontiguousarray(vectors, np.float32)
    batch = c.llama_batch_init(count, data.shape[2], 1)
    try:
        batch.n_tokens = count
        ctypes.memmove(batch.embd, data.ctypes.data, data.nbytes)
        for row in range(count):
            which, at = divmod(row, vectors.shape[1])
            batch.pos[row], batch.n_seq_id[row], batch.logits[row] = position + at, 1, 0
            batch.seq_id[row][0] = sequences[which]
        engine.forget_outputs()
        code = int(c.llama_decode(context, batch))
    finally:
        c.llama_batch_free(batch)
    if code not in (0, 1):
        raise KernelError(f"The forward pass failed inside llama.cpp (code {code}).")
    return code
