"""Whole numbers between two bounds, as a GBNF expression over their digits.

llama.cpp's grammars know characters, not numbers; so ``17 … 305`` becomes ``1 [7-9] | [2-9] [0-9] |
[1-2] [0-9]{2} | 3 0 [0-5]``.
"""

from __future__ import annotations

#: Digits of a number that has no bound on that side: so that a small model cannot write for ever.
LONGEST = 16


def integer_expression(minimum: int | None, maximum: int | None) -> str:
    """Alternatives that match exactly the decimal integers in the range, without leading zeros.

    Args:
        minimum: smallest number; None for no bound (then as far as ``LONGEST`` digits).
        maximum: largest number; None likewise.

    Raises:
        ValueError: there is no such number.
    """
    low, high = _ends(minimum, maximum)
    if low > high:
        raise ValueError(f"no whole number lies between {minimum} and {maximum}")
    parts: list[str] = []
    if low < 0:
        below = _positive(max(1, -high), -low)
        parts.append(f'"-" ({below})' if " | " in below else f'"-" {below}')
    if high >= 0:
        parts.append(_positive(max(0, low), high))
    return " | ".join(parts)


def _ends(minimum: int | None, maximum: int | None) -> tuple[int, int]:
    """Both bounds; a missing one is the farthest that has as many digits as are written at most."""
    digits = max(LONGEST, *(len(str(abs(bound))) for bound in (minimum or 0, maximum or 0)))
    farthest = 10**digits - 1
    return (-farthest if minimum is None else minimum), (farthest if maximum is None else maximum)


def _positive(low: int, high: int) -> str:
    """Numbers from ``low`` to ``high``, both 0 or more."""
    parts: list[str] = []
    shortest, longest = len(str(low)), len(str(high))
    whole: list[int] = []  # lengths of which every number is in the range
    for length in range(shortest, longest + 1):
        first, last = (0 if length == 1 else 10 ** (length - 1)), 10**length - 1
        start, end = max(low, first), min(high, last)
        if length > 1 and (start, end) == (first, last):
            whole.append(length)
        else:
            parts.append(_same_length(str(start), str(end)))
    if whole:  # they follow one another
        parts.append(f"[1-9] {_any_digits(whole[0] - 1, whole[-1] - 1)}")
    return " | ".join(parts)


def _same_length(low: str, high: str) -> str:
    """Strings of digits of one length, from ``low`` to ``high``."""
    if low == high:
        return f'"{low}"'
    if not low.strip("0") and not high.strip("9"):
        return _any_digits(len(low), len(low))
    if low[0] == high[0]:
        rest = _same_length(low[1:], high[1:])
        return f'"{low[0]}" ({rest})' if " | " in rest else f'"{low[0]}" {rest}'
    parts: list[str] = []
    first, last, rest_length = int(low[0]), int(high[0]), len(low) - 1
    if low[1:].strip("0"):  # the first digit's numbers do not begin at …000
        parts.append(f'"{low[0]}" ({_same_length(low[1:], "9" * rest_length)})')
        first += 1
    tail = ""
    if high[1:].strip("9"):  # the last digit's numbers do not go up to …999
        tail = f'"{high[0]}" ({_same_length("0" * rest_length, high[1:])})'
        last -= 1
    if first <= last:
        rest = f" {_any_digits(rest_length, rest_length)}" if rest_length else ""
        parts.append(f"{_digit(first, last)}{rest}")
    return " | ".join([*parts, tail] if tail else parts)


def _digit(first: int, last: int) -> str:
    return f'"{first}"' if first == last else f"[{first}-{last}]"


def _any_digits(least: int, most: int) -> str:
    if least == most:
        return "[0-9]" if most == 1 else f"[0-9]{{{most}}}"
    return f"[0-9]{{{least},{most}}}"
