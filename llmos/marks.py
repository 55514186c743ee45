"""Remarks of plugins on parts of an answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mark:
    """A remark on a part of an answer, drawn inside it.

    Attributes:
        start, end: the part, in characters of the answer.
        text: the part itself, by which a face finds it when it has cleaned the answer.
        note: what is the matter, in words for the user.
        kind: ``unsupported``: no passage in the window supports it.
        plugin: whose remark it is; filled in by the program.
    """

    start: int
    end: int
    text: str
    note: str
    kind: str = "unsupported"
    plugin: str = ""
