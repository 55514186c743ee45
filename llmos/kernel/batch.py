"""The rows of one llama_decode, in arrays that every decode uses again."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

#: Token, position, sequence, whether its logits are wanted.
Row = tuple[int, int, int, bool]


class Batch:
    """A native batch; ``llama_batch_init`` would need freeing and is no faster.

    Args:
        library: the low-level module.
        size: most rows.

    Attributes:
        native: what llama_decode takes.
        size: most rows.
    """

    def __init__(self, library: Any, size: int) -> None:
        self.size = size
        self._tokens = (ctypes.c_int32 * size)()
        self._positions = (ctypes.c_int32 * size)()
        self._counts = (ctypes.c_int32 * size)(*([1] * size))
        self._sequences = (ctypes.c_int32 * size)()
        width = ctypes.sizeof(ctypes.c_int32)
        base = ctypes.addressof(self._sequences)
        pointer = ctypes.POINTER(ctypes.c_int32)
        self._sequence_pointers = (pointer * size)(
            *(ctypes.cast(base + width * row, pointer) for row in range(size))
        )
        self._outputs = (ctypes.c_int8 * size)()
        native = library.llama_batch()
        native.token = ctypes.cast(self._tokens, type(native.token))
        native.pos = ctypes.cast(self._positions, type(native.pos))
        native.n_seq_id = ctypes.cast(self._counts, type(native.n_seq_id))
        native.seq_id = ctypes.cast(self._sequence_pointers, type(native.seq_id))
        native.logits = ctypes.cast(self._outputs, type(native.logits))
        self.native = native

    def fill(self, rows: Sequence[Row]) -> None:
        """Put in rows that were checked."""
        for at, (token, position, sequence, output) in enumerate(rows):
            self._tokens[at] = token
            self._positions[at] = position
            self._sequences[at] = sequence
            self._outputs[at] = output
        self.native.n_tokens = len(rows)

    def has_output(self, row: int) -> bool:
        """Whether the logits of this row were wanted."""
        return bool(self._outputs[row])
