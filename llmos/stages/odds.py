"""Odds of an answer's tokens: how likely each was, and what else could have stood there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from llmos.kernel.protocol import Kernel, TokenProbability
from llmos.types import Message


@dataclass(frozen=True, slots=True)
class TokenOdds:
    """One token of an answer with its probability, given all before it."""

    token: int
    text: str
    probability: float


class AnswerOdds:
    """Odds along one answer.

    Args:
        kernel: that wrote it, or another one that is asked what it thinks of it.
        before: messages that the answer followed, oldest first.
        answer: its visible text.
    """

    def __init__(self, kernel: Kernel, before: Sequence[Message], answer: str) -> None:
        self._kernel, self._before, self._answer = kernel, list(before), answer
        self._prompt: list[int] = []
        self._tokens: list[int] = []
        self._pieces: list[bytes] = []

    async def tokens(self, most: int = 512) -> list[TokenOdds]:
        """The answer's first ``most`` tokens, each with its probability.

        Raises:
            llmos.types.UserError: this kernel shows no logits, or it does not fit its window.
        """
        kernel = self._kernel
        self._prompt = list((await kernel.render_chat(self._before)).tokens)
        self._tokens = (await kernel.tokenize(self._answer))[:most]
        scores = await kernel.score([*self._prompt, *self._tokens])
        self._pieces = await kernel.pieces(self._tokens)
        start = len(self._prompt)
        return [
            TokenOdds(token, piece.decode("utf-8", "replace"), math.exp(scores[start + place]))
            for place, (token, piece) in enumerate(zip(self._tokens, self._pieces, strict=True))
        ]

    async def alternatives(self, place: int, top: int = 8) -> list[TokenProbability]:
        """The likeliest tokens at a place of the answer; ``tokens`` must have been asked before."""
        return await self._kernel.next_tokens([*self._prompt, *self._tokens[:place]], top=top)

    def text_before(self, place: int) -> str:
        """The answer up to a token: how a branch that starts there begins."""
        return b"".join(self._pieces[:place]).decode("utf-8", "replace")
