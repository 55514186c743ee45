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

    def __init__(self, tokens: int, fits: int, window: int, fitting: str, attached: int = 0) -> None:
        """Args:
        tokens: length of the message alone.
        fits: tokens that would fit beside what has to stay.
        window: the model's window.
        fitting: the beginning of the message that fits.
        attached: tokens of what the user attached to it.
        """
        self.tokens = tokens + attached
        self.fits = max(0, fits)
        self.fitting = fitting
        what = "The message with what is attached to it" if attached else "The message"
        remedy = (
            f"shorten it to about the first {len(fitting):,} characters"
            if fitting and not attached
            else "attach or write less"
        )
        super().__init__(
            f"{what} is {self.tokens:,} tokens long and the window of {window:,} tokens has room for "
            f"{self.fits:,}: {remedy}, or load the model with a larger context."
        )


class Busy(UserError):
    """An answer is being written in this chat."""

    def __init__(self) -> None:
        super().__init__("An answer is being written in this chat; stop it or wait for its end.")
