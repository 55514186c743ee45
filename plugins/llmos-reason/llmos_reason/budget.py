"""The time of one answer: how much there is, how much is kept for the end, what it is in tokens."""

from __future__ import annotations

import time
from collections.abc import Callable

from llmos.types import AnswerNow, TokenCount
from llmos_reason.effort import Effort

#: Share of the time that is kept for handing out the vote's answer, and for closing open thoughts.
_VOTE_SHARE = 0.05
_CLOSING_SHARE, _MOST_CLOSING_SHARE = 0.08, 0.4
#: An answer that is written after the time is up is cut at this share of it.
_LAST_SHARE = 1.07
#: Length of a closing answer that time is kept for, and the longest one, in tokens.
_CLOSING_TOKENS, _MOST_CLOSING_TOKENS, _LEAST_CLOSING_TOKENS = 32, 96, 8
#: Where tokens are not counted (a remote kernel).
_LETTERS_A_TOKEN = 4.0
#: Seconds between two reports of the clock.
_TICK = 1.0


class Budget:
    """Time of one answer and the two reasons to end early: it is up, or the user wants the answer.

    Args:
        effort: what the user allows.
        now: set when the user wants the answer at once.
        clock: seconds; for tests.

    Attributes:
        count: tokens written so far; generation adds to it.
    """

    def __init__(self, effort: Effort, now: AnswerNow, clock: Callable[[], float] = time.monotonic) -> None:
        self._effort, self._now, self._clock = effort, now, clock
        self.count = TokenCount()
        self.began = clock()
        self.has_answer = False
        self._letters = 0
        self._first_at = 0.0
        self._first_count = 0
        self._rate = 0.0
        self._told = 0.0

    # -- time ----------------------------------------------------------------------------------

    @property
    def seconds(self) -> float:
        """Time to spend; 0.0 for no limit."""
        return self._effort.seconds

    @property
    def spent(self) -> float:
        """Seconds since the beginning."""
        return self._clock() - self.began

    @property
    def over(self) -> bool:
        """Whether to stop thinking and answer."""
        return self._now.requested or (self.seconds > 0 and self.spent >= self.seconds - self.kept)

    @property
    def left(self) -> float:
        """Seconds until thinking must end; a long time where there is no limit."""
        return self.seconds - self.kept - self.spent if self.seconds else 3600.0

    @property
    def kept(self) -> float:
        """Seconds kept for the end: little when a vote stands, else what closing the thoughts takes."""
        if self.has_answer:
            return _VOTE_SHARE * self.seconds
        writing = _CLOSING_TOKENS / self._rate if self._rate else 0.0
        return min(_MOST_CLOSING_SHARE * self.seconds, max(_CLOSING_SHARE * self.seconds, writing))

    @property
    def at_an_end(self) -> bool:
        """Whether even an answer that is being written must be cut."""
        return self.seconds > 0 and self.spent >= _LAST_SHARE * self.seconds

    # -- tokens --------------------------------------------------------------------------------

    def saw(self, letters: int) -> None:
        """Note text that came, to know the pace before a try has ended."""
        now = self.spent
        if not self._first_at:
            self._first_at = now  # what came first says nothing of the pace, which counts from here
            self._first_count = self.count.tokens
            return
        self._letters += letters
        if now > self._first_at + 0.2:
            counted = self.count.tokens - self._first_count
            self._rate = (counted or self._letters / _LETTERS_A_TOKEN) / (now - self._first_at)

    def ended(self, tokens_per_second: float) -> None:
        """Note the measured pace of a try, of all tries together where several were decoded at once."""
        if tokens_per_second > 0:
            self._rate = tokens_per_second

    @property
    def tokens(self) -> int:
        """The time in tokens at the measured pace; 0 while that is unknown or there is no limit."""
        return round(self.seconds * self._rate)

    def closing_tokens(self, most: int | None) -> int:
        """Most tokens of an answer after forced-closed thoughts."""
        limit = min(most or _MOST_CLOSING_TOKENS, _MOST_CLOSING_TOKENS)
        if not self.seconds or not self._rate or self._now.requested:
            return limit
        left = int((_LAST_SHARE * self.seconds - self.spent) * self._rate)
        return max(min(limit, left), min(limit, _LEAST_CLOSING_TOKENS))

    # -- the live clock ------------------------------------------------------------------------

    def tick(self) -> bool:
        """True once a second, when the clock is to be shown anew."""
        if self.spent - self._told < _TICK:
            return False
        self._told = self.spent
        return True
