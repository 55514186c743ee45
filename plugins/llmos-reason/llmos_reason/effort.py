"""Effort as a person says it: off, a time, or until sure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from llmos.types import UserError

_TIME = re.compile(r"^(\d+(?:\.\d+)?)\s*(s|sec|secs|seconds?|m|min|mins|minutes?|h|hours?)?$")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_OFF = frozenset({"", "off", "no", "0", "false", "never"})
_SURE = frozenset({"sure", "until sure", "auto", "on", "true", "yes"})
_LONGEST = 3600.0


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to think.

    Attributes:
        seconds: time to spend; 0.0 with ``until_sure`` means no limit but the number of tries.
        until_sure: stop as soon as the vote is decided; with a time both hold.
    """

    seconds: float = 0.0
    until_sure: bool = False

    @property
    def off(self) -> bool:
        """No thinking beyond what the model does by itself."""
        return not self.seconds and not self.until_sure


def parse_effort(text: object) -> Effort:
    """``off``, ``20 s``, ``5 min``, ``until sure``, a number of seconds.

    Raises:
        UserError: none of these.
    """
    words = str(text if text is not None else "").strip().casefold()
    if words in _OFF:
        return Effort()
    if words in _SURE:
        return Effort(until_sure=True)
    match = _TIME.match(words)
    if not match:
        raise UserError(f"{text!r} is no time to think: say off, 20 s, 5 min or sure.")
    seconds = float(match[1]) * _SECONDS[(match[2] or "s")[0]]
    if not 0 < seconds <= _LONGEST:
        raise UserError(f"{text!r} is no time to think: between a second and an hour.")
    return Effort(seconds, until_sure=True)


def in_words(effort: Effort) -> str:
    """The effort as it is shown."""
    if effort.off:
        return "off"
    if not effort.seconds:
        return "until sure"
    return f"{effort.seconds / 60:g} min" if effort.seconds >= 60 else f"{effort.seconds:g} s"


def following(effort: Effort) -> str:
    """The effort that a key goes on to: off, 20 s, 5 min, until sure, and off again."""
    row = ["off", "20 s", "5 min", "until sure"]
    now = in_words(effort)
    if now in row:
        return row[(row.index(now) + 1) % len(row)]
    return "5 min" if effort.seconds < 300 else "until sure"
