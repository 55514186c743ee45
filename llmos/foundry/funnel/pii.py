"""Redacts what could reach a person: e-mail, telephone, card, account and network addresses."""

from __future__ import annotations

import re
from collections import Counter

_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("EMAIL", re.compile(r"\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}\b")),
    ("IBAN", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")),
    ("SSN", re.compile(r"\b\d{3}-\d{2}-\d{4}\b")),
    ("CARD", re.compile(r"\b(?:\d[ -]?){13,16}\b")),
    ("IP", re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b")),
    ("PHONE", re.compile(r"(?<![\w.])(?:\+\d{1,3}[ .-]?)?\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}\b")),
)


def _card_is_valid(digits: str) -> bool:
    """Luhn's check, so that long plain numbers stay."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def redact(text: str) -> tuple[str, Counter[str]]:
    """Replace personal data by its kind in brackets.

    Returns:
        The text with ``[EMAIL]`` and the like, and how many of each kind were replaced. Running it
        again on the result changes nothing.
    """
    counts: Counter[str] = Counter()
    for kind, pattern in _PATTERNS:

        def replace(match: re.Match[str], kind: str = kind) -> str:
            if kind == "CARD" and not _card_is_valid(re.sub(r"\D", "", match[0])):
                return match[0]
            if kind == "IP" and any(int(part) > 255 for part in match[0].split(".")):
                return match[0]
            counts[kind] += 1
            return f"[{kind}]"

        text = pattern.sub(replace, text)
    return text, counts
