"""Embedders as the index sees them: a name, and texts in, half-precision vectors out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

#: Texts in one call to the kernel: small enough that a search in between waits little.
BATCH = 16


class Embedder(Protocol):
    """Turns texts into vectors.

    Attributes:
        name: name and hash; vectors of different names are never compared.
    """

    @property
    def name(self) -> str:
        """See the class."""
        ...

    def embed(self, texts: Sequence[str]) -> Any:
        """Normalised vectors, float16 [texts, width]."""
        ...


class EmbedderSource(Protocol):
    """Where embedders come from."""

    def current(self) -> Embedder | None:
        """The embedder that is set now; None when there is none (words alone are searched)."""
        ...

    def named(self, name: str) -> Embedder | None:
        """The embedder of this name, if it can still be used; it serves while another takes over."""
        ...


def to_half(vectors: Any) -> Any:
    """Float16 [n, width], of length one.

    Raises:
        ValueError: a vector is not finite or has no direction (a damaged embedder).
    """
    import numpy as np

    array = np.asarray(vectors, dtype=np.float32)
    lengths = np.linalg.norm(array, axis=1, keepdims=True)
    if not np.isfinite(array).all() or (lengths < 1e-6).any():
        raise ValueError("the embedder gave vectors that are not finite or have no direction")
    return (array / lengths).astype(np.float16)
