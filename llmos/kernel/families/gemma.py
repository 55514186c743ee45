"""Gemma 4: ``<|tool_call>call:NAME{key:<|"|>text<|"|>,number:5}<tool_call|>``."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from llmos.kernel.families.base import Family, SchemaToGbnf, split_thinking
from llmos.types import ToolCall, ToolSpec

_QUOTE = '<|"|>'
_OPEN, _CLOSE = "<|tool_call>", "<tool_call|>"


class _Malformed(Exception):
    pass


class _Values:
    """Reads Gemma's notation of values, which is JSON with other quotes and bare keys."""

    def __init__(self, text: str, at: int) -> None:
        self._text = text
        self.at = at

    def _take(self, mark: str) -> bool:
        while self.at < len(self._text) and self._text[self.at].isspace():
            self.at += 1
        if self._text.startswith(mark, self.at):
            self.at += len(mark)
            return True
        return False

    def _until(self, mark: str) -> str:
        end = self._text.find(mark, self.at)
        if end < 0:
            raise _Malformed
        found, self.at = self._text[self.at : end], end + len(mark)
        return found

    def value(self, depth: int = 0) -> Any:
        """One value at the present place."""
        if depth > 32:
            raise _Malformed
        if self._take(_QUOTE):
            return self._until(_QUOTE)
        if self._take("{"):
            return self.mapping(depth)
        if self._take("["):
            return self._list(depth)
        found = re.compile(r"[^,\[\]{}<]+").match(self._text, self.at)
        if not found:
            raise _Malformed
        self.at = found.end()
        word = found[0].strip()
        try:
            return json.loads(word)
        except ValueError:
            return word

    def mapping(self, depth: int = 0) -> dict[str, Any]:
        """What stands after an opening brace."""
        found: dict[str, Any] = {}
        if self._take("}"):
            return found
        while True:
            key = self._until(_QUOTE) if self._take(_QUOTE) else ""
            key += self._until(":")
            found[key.strip()] = self.value(depth + 1)
            if self._take("}"):
                return found
            if not self._take(","):
                raise _Malformed

    def _list(self, depth: int) -> list[Any]:
        found: list[Any] = []
        if self._take("]"):
            return found
        while True:
            found.append(self.value(depth + 1))
            if self._take("]"):
                return found
            if not self._take(","):
                raise _Malformed


class Gemma(Family):
    """Calls and thoughts of Gemma 4. Earlier Gemmas have no tool syntax of their own."""

    name = "gemma"
    trigger = _OPEN
    thinking_marks = ("<|channel>thought\n", "\n<channel|>")

    _start = re.compile(r"\s*call:([\w.-]+)\s*\{")

    def detect(self, template: str) -> bool:
        """The template writes ``<|tool_call>call:``."""
        return f"{_OPEN}call:" in template

    def take_thinking(self, text: str) -> tuple[str, str]:
        """Thoughts stand in the channel ``thought``."""
        return split_thinking(text, "<|channel>thought", "<channel|>")

    def take_calls(self, text: str) -> tuple[str, list[ToolCall]]:
        """Calls between the marks."""
        calls: list[ToolCall] = []
        visible: list[str] = []
        while True:
            before, found, rest = text.partition(_OPEN)
            visible.append(before)
            if not found:
                break
            started = self._start.match(rest)
            try:
                if not started:
                    raise _Malformed
                values = _Values(rest, started.end())
                calls.append(ToolCall(started[1], values.mapping()))
            except _Malformed:
                visible.append(_OPEN)
                text = rest
                continue
            text = rest[values.at :].lstrip().removeprefix(_CLOSE)
        return "".join(visible), calls

    def grammar(self, tools: Sequence[ToolSpec], to_gbnf: SchemaToGbnf) -> str:
        """Calls with the parameters in alphabetical order, as the template writes them."""
        quote = json.dumps(_QUOTE)
        rules = [f'text ::= {quote} ( [^<] | "<" [^|] )* {quote}']
        names = []
        for number, tool in enumerate(tools):
            required = set(tool.parameters.get("required", ()))
            parts: list[str] = []
            for index, (name, schema) in enumerate(sorted(tool.parameters.get("properties", {}).items())):
                value = "text"
                if schema.get("type", "string") != "string":
                    prefix = f"t{number}-{index}-"
                    rules.append(to_gbnf(schema, prefix).replace('"\\""', quote))
                    value = f"{prefix}root"
                rules.append(f"p{number}-{index} ::= {json.dumps(name + ':')} {value}")
                # A comma goes before every parameter but the first, whichever that is.
                rule = f'( ","? p{number}-{index} )'
                parts.append(rule if name in required else f"{rule}?")
            start = json.dumps(f"{_OPEN}call:{tool.name}{{")
            rules.append(f"call{number} ::= {start} {' '.join(parts)} {json.dumps('}' + _CLOSE)}")
            names.append(f"call{number}")
        rules.append(f"call ::= {' | '.join(names)}")
        return "root ::= call+\n" + "\n".join(rules)
