"""What a turn's options hold that changes while it runs: the wish for an early answer, a count of tokens."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class AnswerNow:
    """How a user's stop becomes "answer with what there is".

    A turn's options hold one under ``answer_now``. Middleware that can finish early sets
    ``supported``; the first stop then sets ``requested`` instead of cancelling, the second cancels.
    """

    supported: bool = False
    requested: bool = False


@dataclass(slots=True)
class TokenCount:
    """Tokens written under a request, counted while they come, of all samples together.

    Middleware that plans its time puts one into a request's options under ``token_count``; generation
    adds to it. It stays 0 where tokens are not known (a remote kernel).
    """

    tokens: int = 0
