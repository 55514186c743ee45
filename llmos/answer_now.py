"""How a stop becomes an early answer."""

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
