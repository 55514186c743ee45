"""Families that write calls as XML: Qwen 3.5 and Qwen3-Coder, and MiniCPM 5."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from llmos.kernel.families.base import Family, SchemaToGbnf, make_call
from llmos.types import ToolCall, ToolSpec


def _required_and_properties(tool: ToolSpec) -> tuple[set[str], Mapping[str, Any]]:
    properties = tool.parameters.get("properties", {})
    return set(tool.parameters.get("required", ())), properties


class _Xml(Family):
    """What both have in common: one rule for each parameter, in the schema's order."""

    opening: str  # with {name}
    parameter_opening: str  # with {name}
    parameter_closing: str
    closing: str

    def grammar(self, tools: Sequence[ToolSpec], to_gbnf: SchemaToGbnf) -> str:
        """One or more calls; text parameters end at their closing tag, others are JSON."""
        rules = ['xml-text ::= ( [^<] | "<" [^/] | "</" [^pf] )*']
        names = []
        for number, tool in enumerate(tools):
            required, properties = _required_and_properties(tool)
            parts = []
            for index, (name, schema) in enumerate(properties.items()):
                rule = f"p{number}-{index}"
                value = "xml-text"
                if schema.get("type", "string") != "string":
                    prefix = f"t{number}-{index}-"
                    rules.append(to_gbnf(schema, prefix))
                    value = f"{prefix}root"
                opening = json.dumps(self.parameter_opening.format(name=name))
                rules.append(f"{rule} ::= {opening} {value} {json.dumps(self.parameter_closing)}")
                parts.append(rule if name in required else f"{rule}?")
            start = json.dumps(self.opening.format(name=tool.name))
            rules.append(f"call{number} ::= {start} {' '.join(parts)} {json.dumps(self.closing)}")
            names.append(f"call{number}")
        rules.append(f"call ::= {' | '.join(names)}")
        return 'root ::= call ("\\n"? call)*\n' + "\n".join(rules)


class QwenXml(_Xml):
    """``<tool_call><function=NAME><parameter=KEY>VALUE</parameter></function></tool_call>``, a tag a line."""

    name = "qwen-xml"
    trigger = "<tool_call>"
    opening = "<tool_call>\n<function={name}>\n"
    parameter_opening = "<parameter={name}>\n"
    parameter_closing = "\n</parameter>\n"
    closing = "</function>\n</tool_call>"

    _call = re.compile(r"<tool_call>\s*<function=([^>\s]+)>(.*?)</function>\s*(?:</tool_call>|$)", re.DOTALL)
    _parameter = re.compile(r"<parameter=([^>]+)>\n?(.*?)\n?</parameter>", re.DOTALL)

    def detect(self, template: str) -> bool:
        """The template shows ``<function=``."""
        return "<tool_call>" in template and "<function=" in template

    def take_calls(self, text: str) -> tuple[str, list[ToolCall]]:
        """Calls with their parameters as text."""
        calls: list[ToolCall] = []

        def take(found: re.Match[str]) -> str:
            call = make_call(found[1], dict(self._parameter.findall(found[2])))
            if call is None:
                return found[0]
            calls.append(call)
            return ""

        return self._call.sub(take, text), calls


class MiniCpm(_Xml):
    """``<function name="NAME"><param name="KEY">VALUE</param></function>``, long values in CDATA."""

    name = "minicpm"
    trigger = '<function name="'
    opening = '<function name="{name}">'
    parameter_opening = '<param name="{name}">'
    parameter_closing = "</param>"
    closing = "</function>"

    _call = re.compile(r'<function name="([^"]+)">(.*?)</function>', re.DOTALL)
    _parameter = re.compile(r'<param name="([^"]+)">(?:<!\[CDATA\[(.*?)\]\]>|(.*?))</param>', re.DOTALL)

    def detect(self, template: str) -> bool:
        """The template writes ``<function name=``."""
        return '<function name="' in template

    def take_calls(self, text: str) -> tuple[str, list[ToolCall]]:
        """Calls with their parameters as text."""
        calls: list[ToolCall] = []

        def take(found: re.Match[str]) -> str:
            arguments = {
                name: inside or html.unescape(plain)
                for name, inside, plain in self._parameter.findall(found[2])
            }
            call = make_call(found[1], arguments)
            if call is None:
                return found[0]
            calls.append(call)
            return ""

        return self._call.sub(take, text), calls
