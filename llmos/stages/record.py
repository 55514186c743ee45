"""The bundled model's build record, as the panels read it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol


class BuildRecord(Protocol):
    """What the panels ask of a record; ``llmos.foundry.record`` implements it."""

    def merges(self) -> Sequence[tuple[bytes, bytes, int]]:
        """Merges of the tokenizer in order: left, right, count."""
        ...

    def vocabulary_sizes(self) -> Sequence[tuple[int, float]]:
        """(vocabulary size, bytes a token) of the tokenizer study."""
        ...

    def curve(self) -> Sequence[dict[str, Any]]:
        """Logged steps of pre-training: step, tokens, loss, lr, grad_norm."""
        ...

    def checkpoints(self) -> Sequence[tuple[int, Path]]:
        """(step, file) of the checkpoints that can be loaded, first to last."""
        ...

    def scaling(self) -> Sequence[dict[str, Any]]:
        """Runs of the scaling study: parameters, tokens, flops, loss."""
        ...


def find_record() -> BuildRecord | None:
    """The record of the bundled model; None where it is not installed."""
    return None
