"""Keys that terminals send and the library does not know: Alt+Enter, Alt with a digit, Alt+S, Alt+T.

Few letters: Esc and a letter in quick succession is what vi users type.
"""

from __future__ import annotations

from enum import Enum
from typing import Any


class AltKey(Enum):
    """What ``ESC`` and one more character mean."""

    ENTER = "alt+enter"
    ONE = "alt+1"
    TWO = "alt+2"
    THREE = "alt+3"
    FOUR = "alt+4"
    FIVE = "alt+5"
    SIX = "alt+6"
    SEVEN = "alt+7"
    EIGHT = "alt+8"
    NINE = "alt+9"
    S = "alt+s"
    T = "alt+t"


def install() -> None:
    """Teach the key parser the sequences; doing it twice changes nothing."""
    from textual._ansi_sequences import ANSI_SEQUENCES_KEYS

    # Its values are typed as the library's own enumeration; only ``.value`` is read.
    known: Any = ANSI_SEQUENCES_KEYS
    known["\x1b\r"] = (AltKey.ENTER,)
    for key in AltKey:
        if key is not AltKey.ENTER:
            known[f"\x1b{key.value[-1]}"] = (key,)
