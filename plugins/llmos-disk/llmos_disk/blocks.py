"""What a reader gives back: blocks of text with their headings and their place in the file."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Literal

BlockKind = Literal["prose", "code", "records"]


class Unreadable(Exception):
    """A file whose text cannot be had; the message completes the sentence "… was skipped: it …"."""


@dataclass(frozen=True, slots=True)
class Block:
    """A run of text under one set of headings.

    Attributes:
        text: cleaned text; its n-th line is line ``line + n`` of the file where ``line`` is known.
        headings: headings above it, outermost first.
        line: 1-based first line in the file (or in ``part``), 0 where lines mean nothing.
        page: 1-based page of a paged document, 0 for others.
        part: place inside a container, for example ``cell 3`` or ``chapter2.xhtml``.
        kind: how it may be cut.
    """

    text: str
    headings: tuple[str, ...] = ()
    line: int = 0
    page: int = 0
    part: str = ""
    kind: BlockKind = "prose"


#: Characters that only format (category Cf) but carry meaning in some scripts and in emoji.
_KEPT_FORMAT = frozenset("\u200c\u200d")


def clean_text(text: str) -> str:
    """Text without terminal escapes, control, bidi, tag and private-use characters; lines are kept.

    A file must not be able to drive the terminal or to hide words from the reader, so this happens
    once, before anything is stored.
    """
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n" if "\n" not in text else " ")
    if not text.isprintable():
        text = _strip_escapes(text)
    kept: list[str] = []
    for letter in text:
        if letter in "\n\t" or letter in _KEPT_FORMAT:
            kept.append(letter)
            continue
        if letter.isprintable():
            kept.append(letter)
            continue
        category = unicodedata.category(letter)
        if category in ("Zs", "Zl", "Zp"):
            kept.append(" ")
        # everything else that is not printable (Cc, Cf, Cs, Co, Cn) is dropped
    return "".join(kept)


def _strip_escapes(text: str) -> str:
    """Remove whole ANSI sequences, so that no ``[31m`` is left behind."""
    if "\x1b" not in text and "\x9b" not in text and "\x9d" not in text:
        return text
    import re

    text = re.sub(r"(?:\x1b\]|\x9d)[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?", "", text)
    text = re.sub(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?", "", text)
    return re.sub(r"\x1b[PX^_][^\x1b\n]*(?:\x1b\\)?|\x1b[ -/]*[0-~]?", "", text)
