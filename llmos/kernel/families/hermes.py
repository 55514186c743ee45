"""Hermes, Qwen 2.5 and 3, Granite 4, SmolLM 3 and LLMOS's own models: JSON between ``<tool_call>`` tags."""

from __future__ import annotations

import re
from collections.abc import Sequence

from llmos.formats import TOOL_CALL_CLOSE, TOOL_CALL_OPEN
from llmos.kernel.families.base import Family, SchemaToGbnf, call_from, json_calls_grammar, json_prefix
from llmos.types import ToolCall, ToolSpec


class Hermes(Family):
    """``<tool_call>{"name": …, "arguments": {…}}</tool_call>``, any number of them."""

    name = "hermes"
    trigger = TOOL_CALL_OPEN

    def detect(self, template: str) -> bool:
        """ChatML with tool_call tags around JSON."""
        return TOOL_CALL_OPEN in template and "<function=" not in template

    def take_calls(self, text: str) -> tuple[str, list[ToolCall]]:
        """Calls between the tags; a missing closing tag at the very end is forgiven."""
        calls: list[ToolCall] = []
        visible: list[str] = []
        while True:
            before, found, rest = text.partition(TOOL_CALL_OPEN)
            visible.append(before)
            if not found:
                break
            value, length = json_prefix(rest)
            after = rest[length:]
            closing = re.match(rf"\s*({re.escape(TOOL_CALL_CLOSE)}|$)", after)
            call = call_from(value) if closing else None
            if call is None or closing is None:
                visible.append(TOOL_CALL_OPEN)
                text = rest
                continue
            calls.append(call)
            text = after[closing.end() :]
        return "".join(visible), calls

    def grammar(self, tools: Sequence[ToolSpec], to_gbnf: SchemaToGbnf) -> str:
        """One or more tagged calls."""
        return json_calls_grammar(
            tools,
            to_gbnf,
            before=f'"{TOOL_CALL_OPEN}" "\\n"?',
            after=f'"\\n"? "{TOOL_CALL_CLOSE}"',
            separator='"\\n"?',
        )
