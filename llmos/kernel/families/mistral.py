"""Mistral: ``[TOOL_CALLS]`` and then either a JSON array or ``name[ARGS]{…}``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from llmos.kernel.families.base import (
    Family,
    SchemaToGbnf,
    call_from,
    json_calls_grammar,
    json_prefix,
    make_call,
    split_thinking,
)
from llmos.types import ToolCall, ToolSpec

_MARK = "[TOOL_CALLS]"
_NAME = re.compile(r"\s*([A-Za-z_][\w.-]*)(?:\[CALL_ID\][^\[{]*)?(?:\[ARGS\])?\s*(?=\{)")


class Mistral(Family):
    """``[TOOL_CALLS]name[ARGS]{…}`` for each call (Mistral Small 3.2, Ministral 3, Devstral)."""

    name = "mistral"
    trigger = _MARK
    thinking_marks = ("[THINK]", "[/THINK]")

    def detect(self, template: str) -> bool:
        """The template writes ``[ARGS]``."""
        return _MARK in template and "[ARGS]" in template

    def take_thinking(self, text: str) -> tuple[str, str]:
        """Thoughts stand between ``[THINK]`` and ``[/THINK]``."""
        rest, thinking = split_thinking(text, "[THINK]", "[/THINK]")
        return (rest, thinking) if thinking else super().take_thinking(text)

    def take_calls(self, text: str) -> tuple[str, list[ToolCall]]:
        """Both forms are read, whichever the template writes."""
        calls: list[ToolCall] = []
        visible: list[str] = []
        while True:
            before, found, rest = text.partition(_MARK)
            visible.append(before)
            if not found:
                break
            taken, length = self._one_mark(rest)
            if not taken:
                visible.append(_MARK)
            calls += taken
            text = rest[length:]
        return "".join(visible), calls

    def _one_mark(self, rest: str) -> tuple[list[ToolCall], int]:
        """(calls, length of their text) after one mark."""
        named = _NAME.match(rest)
        if named:
            value, length = json_prefix(rest[named.end() :])
            call = make_call(named[1], value) if length else None
            return ([call], named.end() + length) if call else ([], 0)
        value, length = json_prefix(rest)
        entries = value if isinstance(value, list) else [value]
        calls = [call for call in map(call_from, entries) if call is not None]
        return (calls, length) if calls and len(calls) == len(entries) else ([], 0)

    def grammar(self, tools: Sequence[ToolSpec], to_gbnf: SchemaToGbnf) -> str:
        """One or more calls, each with its mark."""
        rules, names = [], []
        for number, tool in enumerate(tools):
            rules.append(to_gbnf(tool.parameters, f"t{number}-"))
            rules.append(f'call{number} ::= "{_MARK}{tool.name}[ARGS]" t{number}-root')
            names.append(f"call{number}")
        return f"root ::= call+\ncall ::= {' | '.join(names)}\n" + "\n".join(rules)


class MistralJson(Mistral):
    """``[TOOL_CALLS][{"name": …, "arguments": {…}}, …]`` (Mistral 7B, Nemo)."""

    name = "mistral-json"

    def detect(self, template: str) -> bool:
        """The template has the mark but no ``[ARGS]``."""
        return _MARK in template

    def grammar(self, tools: Sequence[ToolSpec], to_gbnf: SchemaToGbnf) -> str:
        """An array of calls after the mark; an id may follow the arguments."""
        text = json_calls_grammar(
            tools,
            to_gbnf,
            before="",
            after="",
            opening=f'"{_MARK}" " "? "["',
            closing='"]"',
            separator='", "',
        )
        return re.sub(r'(call\d+ ::= .* t\d+-root) "}"', r'\1 call-id? "}"', text) + (
            '\ncall-id ::= ", \\"id\\": \\"" [a-zA-Z0-9]{9} "\\""'
        )
