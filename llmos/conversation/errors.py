"""Faults of a turn that a face may treat in a special way."""

from __future__ import annotations

from llmos.types import UserError


class PromptTooLong(UserError):
    """The user's message does not fit the window.

    Attributes:
        tokens: length of the message with what belongs to it.
        fits: tokens that would fit.
        fitting: the beginning of the message that fits.
    """

    def __init__(self, tokens: int, fits: int, window: int, fitting: str) -> None:
        self.tokens = tokens
        self.fits = max(0, fits)
        self.fitting = fitting
        super().__init__(
            f"The message is {tokens:,} tokens long and the window of {window:,} tokens has room for "
            f"{self.fits:,}: shorten it to about the first {len(fitting):,} characters, "
            "or load the model with a larger context."
        )


class Busy(UserError):
    """An answer is being written in this chat."""

    def __init__(self) -> None:
        super().__init__("An answer is being written in this chat; stop it or wait for its end.")
