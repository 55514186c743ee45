"""LFM 2: ``<|tool_call_start|>[name(key="value")]<|tool_call_end|>``, calls in Python's notation."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence

from llmos.kernel.families.base import Family, SchemaToGbnf
from llmos.types import ToolCall, ToolSpec

_OPEN, _CLOSE = "<|tool_call_start|>", "<|tool_call_end|>"


class Lfm2(Family):
    """A list of calls with keyword arguments that are literals."""

    name = "lfm2"
    trigger = _OPEN

    _block = re.compile(f"{re.escape(_OPEN)}(.*?)(?:{re.escape(_CLOSE)}|$)", re.DOTALL)

    def detect(self, template: str) -> bool:
        """The template writes the mark, or lists tools in LFM's way."""
        return _OPEN in template or "List of tools: [" in template

    def take_calls(self, text: str) -> tuple[str, list[ToolCall]]:
        """Calls whose arguments are all literals; anything else stays text."""
        calls: list[ToolCall] = []

        def take(found: re.Match[str]) -> str:
            inside = _read_calls(found[1].strip())
            calls.extend(inside)
            return "" if inside else found[0]

        return self._block.sub(take, text), calls

    def grammar(self, tools: Sequence[ToolSpec], to_gbnf: SchemaToGbnf) -> str:
        """A list of one or more calls; values are written as JSON, which Python reads alike."""
        rules, names = [], []
        for number, tool in enumerate(tools):
            required = set(tool.parameters.get("required", ()))
            parts = []
            for index, (name, schema) in enumerate(tool.parameters.get("properties", {}).items()):
                prefix = f"t{number}-{index}-"
                rules.append(to_gbnf(schema, prefix))
                rules.append(f"p{number}-{index} ::= {json.dumps(name + '=')} {prefix}root")
                rule = f'( ", "? p{number}-{index} )'
                parts.append(rule if name in required else f"{rule}?")
            rules.append(f'call{number} ::= {json.dumps(tool.name + "(")} {" ".join(parts)} ")"')
            names.append(f"call{number}")
        rules.append(f"call ::= {' | '.join(names)}")
        return f'root ::= "{_OPEN}[" call (", " call)* "]{_CLOSE}"\n' + "\n".join(rules)


_JSON_WORDS = {"true": True, "false": False, "null": None}


class _JsonWords(ast.NodeTransformer):
    """JSON's names of constants as Python's."""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """Replace ``true``, ``false`` and ``null``."""
        return ast.Constant(_JSON_WORDS[node.id]) if node.id in _JSON_WORDS else node


def _read_calls(source: str) -> list[ToolCall]:
    """Calls of a Python list (or a single call); none when anything in it is no literal."""
    try:
        tree = ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found: list[ToolCall] = []
    for node in tree.elts if isinstance(tree, ast.List) else [tree]:
        if not isinstance(node, ast.Call) or node.args or not isinstance(node.func, ast.Name | ast.Attribute):
            return []
        try:
            arguments = {
                one.arg: ast.literal_eval(_JsonWords().visit(one.value))
                for one in node.keywords
                if one.arg is not None
            }
        except (ValueError, KeyError, TypeError):
            return []
        found.append(ToolCall(ast.unparse(node.func), arguments))
    return found
