"""The client's calls that look at probabilities and into the forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, NoReturn

from llmos.kernel.frames import pack_tokens
from llmos.kernel.protocol import (
    CutText,
    NotAvailable,
    TokenProbability,
    TracedToken,
    VectorRequest,
    VectorScore,
)
from llmos.types import SamplingSettings


class ClientLooks:
    """Part of ``KernelClient``."""

    async def _ask(self, op: str, payload: bytes = b"", **values: Any) -> tuple[Any, bytes]:
        raise NotImplementedError

    async def next_tokens(
        self, tokens: Sequence[int], *, top: int = 50, sampling: SamplingSettings | None = None
    ) -> list[TokenProbability]:
        """Distribution after the given tokens."""
        chosen = asdict(sampling) if sampling else None
        value, _ = await self._ask("next_tokens", pack_tokens(tokens), top=top, sampling=chosen)
        return [TokenProbability(*one) for one in value]

    async def score(self, tokens: Sequence[int], *, start: int = 1) -> list[float]:
        """Natural log of each token's probability given those before it; 0.0 before ``start``."""
        value, _ = await self._ask("score", pack_tokens(tokens), start=start)
        return [float(one) for one in value]

    async def trace(self, tokens: Sequence[int], *, start: int = 1, top: int = 0) -> list[TracedToken]:
        """The distribution at every place of a text from ``start`` on, and after its end."""
        value, _ = await self._ask("trace", pack_tokens(tokens), start=start, top=top)
        return [
            TracedToken(token, logprob, entropy, tuple(TokenProbability(*one) for one in rows))
            for token, logprob, entropy, rows in value
        ]

    async def vectors(self, request: VectorRequest) -> list[VectorScore]:
        """Put vectors in the place of tokens."""
        import numpy as np

        data = np.ascontiguousarray(request.vectors, np.float32)
        around = {name: [int(one) for one in getattr(request, name)] for name in ("before", "after", "target")}
        value, _ = await self._ask(
            "vectors", data.tobytes(), shape=list(data.shape), most=request.most, **around
        )
        return [VectorScore(tuple(logprobs), tuple(written)) for logprobs, written in value]

    async def tokenize_with(self, path: Path, text: str) -> CutText:
        """Cut a text by another file's tokenizer."""
        (size, kind, tokens, lengths), data = await self._ask("tokenize_with", path=str(path), text=text)
        pieces, at = [], 0
        for length in lengths:
            pieces.append(data[at : at + length])
            at += length
        return CutText(tuple(tokens), tuple(pieces), size, kind)

    async def inspect(
        self, tokens: Sequence[int], what: Literal["attention", "layers"], layer: int = -1
    ) -> Any:
        """Attention of a layer, or every layer's states, as a numpy array."""
        shape, data = await self._ask("inspect", pack_tokens(tokens), what=what, layer=layer)
        return floats(data, shape)


class NoLooks:
    """The same calls of a kernel that shows no probabilities."""

    #: What such a kernel is called in its refusals.
    kind = "A remote kernel"

    def _cannot(self, what: str) -> NoReturn:
        raise NotAvailable(f"{self.kind} {what}; load a local model for that.")

    async def next_tokens(
        self, tokens: Sequence[int], *, top: int = 50, sampling: SamplingSettings | None = None
    ) -> list[TokenProbability]:
        """Not available."""
        self._cannot("does not show its logits")

    async def score(self, tokens: Sequence[int], *, start: int = 1) -> list[float]:
        """Not available."""
        self._cannot("does not score texts")

    async def trace(self, tokens: Sequence[int], *, start: int = 1, top: int = 0) -> list[TracedToken]:
        """Not available."""
        self._cannot("does not show its logits")

    async def vectors(self, request: VectorRequest) -> list[VectorScore]:
        """Not available."""
        self._cannot("takes no vectors")

    async def tokenize_with(self, path: Path, text: str) -> CutText:
        """Not available."""
        self._cannot("reads no tokenizers of files here")

    async def inspect(
        self, tokens: Sequence[int], what: Literal["attention", "layers"], layer: int = -1
    ) -> Any:
        """Not available."""
        self._cannot("does not show its layers")


def floats(data: bytes, shape: Sequence[int]) -> Any:
    """A numpy array from what came over the pipe."""
    import numpy as np

    return np.frombuffer(data, np.float32).reshape(shape)
