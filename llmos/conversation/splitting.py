"""A raw answer, taken apart while it comes: thoughts, visible text, tool calls.

The kernel's family parser takes whole answers apart. It is asked again only when a chunk holds a
character that a marker could begin or end with; between markers a chunk goes where the last one
went, so that a long answer costs time in proportion to its length.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from llmos.kernel.protocol import ParsedAnswer
from llmos.types import TextDelta, ThinkingDelta

Delta = TextDelta | ThinkingDelta
Mode = Literal["unknown", "text", "thinking", "call"]

#: Characters that markers of any family are made with at their ends.
_MARKER = frozenset("<>[]|{}`")
#: Longest beginning of a marker that is held back until it is clear what it is.
_HELD = 32
#: A letter for asking the parser where text would go now; never part of a marker.
_PROBE = "\ue000"


class Splitter:
    """Feeds on raw text, gives deltas.

    Args:
        parse: the kernel's ``parse_answer``.
        trigger: text with which a tool call begins; empty when no tools are offered.
        json_calls: an answer that begins with ``{`` may be a call (families without a marker).
        opened: what the template has written of the answer already, for example ``<think>``.
    """

    def __init__(
        self,
        parse: Callable[[str], ParsedAnswer],
        *,
        trigger: str = "",
        json_calls: bool = False,
        opened: str = "",
    ) -> None:
        self._parse = parse
        self._trigger = trigger
        self._json_calls = json_calls
        self._parts: list[str] = [opened] if opened else []
        self._text = ""
        self._thinking = ""
        self._mode: Mode = "unknown"

    @property
    def raw(self) -> str:
        """Everything fed so far."""
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        return self._parts[0] if self._parts else ""

    @property
    def settled(self) -> bool:
        """Whether everything fed was given out, and it is known where the next chunk belongs."""
        return self._mode in ("text", "thinking")

    def feed(self, chunk: str) -> list[Delta]:
        """Take new text in; returns what can be shown now."""
        self._parts.append(chunk)
        if not _MARKER.isdisjoint(chunk) or self._mode == "unknown":
            return self._take_apart(self._settled(self.raw))
        if self._mode == "text":
            self._text += chunk
            return [TextDelta(chunk)]
        if self._mode == "thinking":
            self._thinking += chunk
            return [ThinkingDelta(chunk)]
        return []

    def finish(self) -> tuple[list[Delta], ParsedAnswer]:
        """The last deltas and the whole answer, taken apart."""
        whole = self._parse(self.raw)
        return self._grown(whole), whole

    def _settled(self, raw: str) -> str:
        """The raw text without an end that could become a marker, or that is inside a tool call."""
        if self._trigger and (place := raw.find(self._trigger)) >= 0:
            return raw[:place]
        for opener, closer in (("<", ">"), ("[", "]")):
            place = raw.rfind(opener)
            if place >= 0 and len(raw) - place <= _HELD and closer not in raw[place:]:
                raw = raw[:place]
        return raw

    def _take_apart(self, settled: str) -> list[Delta]:
        """Deltas of the settled text; finds out where the next chunk belongs."""
        if self._json_calls and settled.lstrip().startswith("{"):
            self._mode = "call"
            return []
        # The letter at the end keeps the blanks before it, which the parser would strip, and shows
        # where the next chunk would go.
        parsed = self._parse(settled + _PROBE)
        mode: Mode = "call"
        if parsed.content.endswith(_PROBE):
            parsed = replace(parsed, content=parsed.content[:-1])
            mode = "text" if parsed.content else "unknown"
        elif parsed.thinking.endswith(_PROBE):
            parsed = replace(parsed, thinking=parsed.thinking[:-1])
            mode = "thinking" if parsed.thinking else "unknown"
        self._mode = mode if len(settled) == len(self.raw) else "unknown"
        return self._grown(parsed)

    def _grown(self, parsed: ParsedAnswer) -> list[Delta]:
        """What the parsed text has beyond what was given out."""
        deltas: list[Delta] = []
        if len(parsed.thinking) > len(self._thinking) and parsed.thinking.startswith(self._thinking):
            deltas.append(ThinkingDelta(parsed.thinking[len(self._thinking) :]))
            self._thinking = parsed.thinking
        if len(parsed.content) > len(self._text) and parsed.content.startswith(self._text):
            deltas.append(TextDelta(parsed.content[len(self._text) :]))
            self._text = parsed.content
        return deltas
