"""Numbers with their nouns, as a reader expects them: ``1 chat``, ``2 chats``, ``1,200 tokens``."""

from __future__ import annotations


def counted(number: int, noun: str, *, commas: bool = False) -> str:
    """A number and its noun.

    Args:
        number: how many.
        noun: the singular, one that takes an ``s``.
        commas: whether thousands are set apart.
    """
    shown = f"{number:,}" if commas else str(number)
    return f"{shown} {noun}" if number == 1 else f"{shown} {noun}s"
