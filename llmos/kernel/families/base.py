"""What a family of models has in common: how it writes thoughts and tool calls."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from llmos.kernel.protocol import ParsedAnswer
from llmos.types import ToolCall, ToolSpec

#: Turns a JSON schema into GBNF rules whose start rule is ``{prefix}root``: (schema, prefix) -> text.
SchemaToGbnf = Callable[[Mapping[str, Any], str], str]


class Family(ABC):
    """Parser and grammar of one family's tool calls."""

    name: str
    #: Text after which the grammar holds; the grammar's root begins with it.
    trigger: str
    #: What stands before and after thoughts, when the program itself writes them into an answer.
    thinking_marks: tuple[str, str] = ("<think>\n", "\n</think>\n")

    @abstractmethod
    def detect(self, template: str) -> bool:
        """Whether a chat template belongs to this family."""

    @abstractmethod
    def take_calls(self, text: str) -> tuple[str, list[ToolCall]]:
        """(text without the calls, the calls). What is no well-formed call stays text."""

    @abstractmethod
    def grammar(self, tools: Sequence[ToolSpec], to_gbnf: SchemaToGbnf) -> str:
        """GBNF for one or more calls of these tools, beginning with the trigger."""

    def take_thinking(self, text: str) -> tuple[str, str]:
        """(text without the thoughts, the thoughts)."""
        return split_thinking(text, "<think>", "</think>")

    def parse(self, text: str) -> ParsedAnswer:
        """Take a raw answer apart."""
        rest, thinking = self.take_thinking(text)
        content, calls = self.take_calls(rest)
        return ParsedAnswer(content=content.strip(), thinking=thinking.strip(), tool_calls=tuple(calls))


def split_thinking(text: str, opening: str, closing: str) -> tuple[str, str]:
    """Take every ``opening … closing`` out of a text.

    An unfinished thought counts as thought; a closing mark without an opening one means that
    the template itself had opened it.
    """
    visible: list[str] = []
    thoughts: list[str] = []
    first_close, first_open = text.find(closing), text.find(opening)
    if first_close >= 0 and (first_open < 0 or first_close < first_open):
        thoughts.append(text[:first_close])
        text = text[first_close + len(closing) :]
    while True:
        before, found, rest = text.partition(opening)
        visible.append(before)
        if not found:
            break
        thought, _, text = rest.partition(closing)
        thoughts.append(thought)
    return "".join(visible), "\n".join(thoughts)


def call_from(value: Any, arguments_keys: Sequence[str] = ("arguments", "parameters")) -> ToolCall | None:
    """A call from decoded JSON such as ``{"name": …, "arguments": {…}}``; None when it is none."""
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str) or not value["name"]:
        return None
    arguments: Any = next((value[key] for key in arguments_keys if key in value), {})
    return make_call(value["name"], arguments)


def make_call(name: str, arguments: Any) -> ToolCall | None:
    """A call; arguments may be a mapping, JSON text, or None. None when they are no object."""
    if isinstance(arguments, str):
        decoded = load_json(arguments) if arguments.strip() else {}
        if decoded is None and arguments.strip() != "null":
            return None
        arguments = decoded
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, Mapping) or not name.strip():
        return None
    return ToolCall(name=name.strip(), arguments=dict(arguments))


def fit_types(call: ToolCall, schema: Mapping[str, Any]) -> ToolCall:
    """The call with text arguments decoded where the tool's schema wants something else than text.

    Families that write parameters between tags cannot tell ``5`` from ``"5"``.
    """
    properties = schema.get("properties", {})
    fitted = dict(call.arguments)
    for name, value in call.arguments.items():
        wanted = properties.get(name, {}).get("type", "string")
        if isinstance(value, str) and wanted in ("integer", "number", "boolean", "array", "object"):
            decoded = load_json(value)
            if decoded is not None:
                fitted[name] = decoded
    return replace(call, arguments=fitted)


def load_json(text: str) -> Any:
    """Decoded JSON, or None when it is none (also for nesting that is too deep)."""
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def json_prefix(text: str) -> tuple[Any, int]:
    """(value, length) of the JSON at the beginning of a text; (None, 0) when there is none."""
    blank = len(text) - len(text.lstrip())
    try:
        value, end = json.JSONDecoder(strict=False).raw_decode(text, blank)
    except (ValueError, RecursionError):
        return None, 0
    return value, end


def json_calls_grammar(
    tools: Sequence[ToolSpec],
    to_gbnf: SchemaToGbnf,
    *,
    before: str,
    after: str,
    arguments_key: str = "arguments",
    opening: str = "",
    closing: str = "",
    separator: str = "",
    repeat: bool = True,
) -> str:
    """Rules for calls ``before {"name": NAME, KEY: {…}} after``, repeated with a separator.

    ``before``, ``after``, ``opening``, ``closing`` and ``separator`` are GBNF expressions.
    """
    rules: list[str] = []
    names: list[str] = []
    for number, tool in enumerate(tools):
        prefix = f"t{number}-"
        rules.append(to_gbnf(tool.parameters, prefix))
        start = json.dumps(f'{{"name": {json.dumps(tool.name)}, "{arguments_key}": ', ensure_ascii=True)
        rules.append(f'call{number} ::= {before} {start} {prefix}root "}}" {after}'.replace("  ", " "))
        names.append(f"call{number}")
    rules.append(f"call ::= {' | '.join(names)}")
    more = f" ({separator} call)*" if repeat else ""
    return f"root ::= {opening} call{more} {closing}\n" + "\n".join(rules)
