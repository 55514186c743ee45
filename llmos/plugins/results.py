"""Long tool results: what fits enters the window, the rest is kept aside and can be read on."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from llmos.types import Confidentiality, EffectClass, Integrity, Labels, ToolResult, ToolSpec

_KEPT_CHARACTERS = 20_000_000
_PIECE = 6_000

READ_RESULT = ToolSpec(
    "read_result",
    "Reads on in a tool result that was too long to show whole.",
    {
        "type": "object",
        "properties": {
            "id": {"type": "string", "description": "The id in the cut result."},
            "start": {"type": "integer", "description": "Character to begin at."},
        },
        "required": ["id", "start"],
        "additionalProperties": False,
    },
    EffectClass.PURE,
)


class ResultShelf:
    """Keeps the whole text of results that were cut, the newest 20 million characters of them."""

    def __init__(self) -> None:
        """Empty; nothing is offered until something was cut."""
        self._kept: OrderedDict[str, ToolResult] = OrderedDict()
        self._size = 0
        self._count = 0

    @property
    def used(self) -> bool:
        """Whether there is anything to read on in."""
        return bool(self._kept)

    def cut(self, result: ToolResult, limit: int) -> ToolResult:
        """A result of at most ``limit`` characters of its text and a pointer to the rest."""
        text = result.text
        if len(text) <= limit:
            return result
        self._count += 1
        key = f"r{self._count}"
        self._kept[key] = result
        self._size += len(text)
        while self._size > _KEPT_CHARACTERS and len(self._kept) > 1:
            _, old = self._kept.popitem(last=False)
            self._size -= len(old.text)
        end = _at_line_end(text, limit)
        pointer = (
            f"\n[Cut: characters 0 to {end} of {len(text)}. "
            f'Call read_result(id="{key}", start={end}) to read on.]'
        )
        return dataclasses.replace(result, text=text[:end] + pointer)

    def read(self, arguments: Mapping[str, Any]) -> ToolResult:
        """The tool ``read_result``: the next piece, with the labels of the whole."""
        kept = self._kept.get(str(arguments.get("id", "")))
        if kept is None:
            return ToolResult("There is no such result any more; run the tool again.", ok=False)
        start = arguments.get("start", 0)
        if not isinstance(start, int) or isinstance(start, bool) or not 0 <= start < len(kept.text):
            return ToolResult(f"start must lie between 0 and {len(kept.text) - 1}.", ok=False)
        end = start + _at_line_end(kept.text[start : start + _PIECE + 1], _PIECE)
        left = len(kept.text) - end
        tail = f"\n[{left} more characters from {end} on.]" if left else "\n[End.]"
        # The window that the call was made from is not known here any more, and may have been
        # steered by somebody else: what is read on counts as untrusted.
        untrusted = Labels(frozenset(), Integrity.UNTRUSTED, Confidentiality.PUBLIC)
        return ToolResult(kept.text[start:end] + tail, labels=kept.labels.join(untrusted))


def _at_line_end(text: str, limit: int) -> int:
    """Where to cut: at the last line end in the final fifth, else at the limit."""
    if len(text) <= limit:
        return len(text)
    newline = text.rfind("\n", limit - limit // 5, limit)
    return newline + 1 if newline > 0 else limit
