"""Llama 3: the whole answer is JSON ``{"name": …, "parameters": {…}}``, or a call of a built-in tool."""

from __future__ import annotations

import re
from collections.abc import Sequence

from llmos.kernel.families.base import (
    Family,
    SchemaToGbnf,
    call_from,
    json_calls_grammar,
    json_prefix,
    load_json,
)
from llmos.types import ToolCall, ToolSpec

_TAG = "<|python_tag|>"


class Llama3(Family):
    """JSON calls, several with ``;`` between; after ``<|python_tag|>`` also ``name.call(key="value")``."""

    name = "llama3"
    trigger = '{"name"'

    _builtin = re.compile(r'^([a-z_][a-z0-9_]*)\.call\((\w+)=("(?:\\.|[^"\\])*")\)\s*$', re.DOTALL)

    def detect(self, template: str) -> bool:
        """The template asks for ``"parameters"``."""
        return "<|start_header_id|>" in template and '"parameters"' in template

    def take_calls(self, text: str) -> tuple[str, list[ToolCall]]:
        """Calls if the answer is nothing but calls; JSON inside prose stays text."""
        body = text.strip()
        tagged = body.startswith(_TAG)
        body = body.removeprefix(_TAG).strip()
        if tagged and (found := self._builtin.match(body)):
            return "", [ToolCall(found[1], {found[2]: load_json(found[3])})]
        calls: list[ToolCall] = []
        while body.startswith("{"):
            value, length = json_prefix(body)
            call = call_from(value, ("parameters", "arguments"))
            if call is None:
                break
            calls.append(call)
            body = body[length:].lstrip("; \n")
            body = body.removeprefix(_TAG).lstrip()
        return (text, []) if body or not calls else ("", calls)

    def grammar(self, tools: Sequence[ToolSpec], to_gbnf: SchemaToGbnf) -> str:
        """One or more calls with ``; `` between."""
        return json_calls_grammar(
            tools, to_gbnf, before="", after="", arguments_key="parameters", separator='"; "'
        )
