"""DeepSeek: calls between ``<｜tool▁calls▁begin｜>`` and ``<｜tool▁calls▁end｜>``."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from llmos.kernel.families.base import Family, SchemaToGbnf, make_call
from llmos.types import ToolCall, ToolSpec

_BEGIN, _END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
_CALL, _CALL_END, _SEPARATOR = "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁sep｜>"


class DeepSeek(Family):
    """``NAME<｜tool▁sep｜>{…}`` for each call (V3.1)."""

    name = "deepseek"
    trigger = _BEGIN

    _block = re.compile(f"{_BEGIN}(.*?)(?:{_END}|$)", re.DOTALL)
    _one = re.compile(f"{_CALL}(.*?){_SEPARATOR}(.*?){_CALL_END}", re.DOTALL)
    _fenced = re.compile(r"\s*([^\n]+)\n```(?:json)?\n(.*?)\n?```\s*$", re.DOTALL)

    def detect(self, template: str) -> bool:
        """The template has DeepSeek's marks and no fenced JSON."""
        return _BEGIN in template and "```json" not in template

    def take_calls(self, text: str) -> tuple[str, list[ToolCall]]:
        """Both forms are read, whichever the template writes."""
        calls: list[ToolCall] = []

        def take(found: re.Match[str]) -> str:
            inside: list[ToolCall] = []
            for before, after in self._one.findall(found[1]):
                fenced = self._fenced.match(after)
                call = make_call(fenced[1], fenced[2]) if fenced else make_call(before, after)
                if call is None:
                    return found[0]
                inside.append(call)
            calls.extend(inside)
            return "" if inside else found[0]

        return self._block.sub(take, text), calls

    def _call_rule(self, tool: ToolSpec, arguments: str) -> str:
        return f"{json.dumps(_CALL + tool.name + _SEPARATOR, ensure_ascii=False)} {arguments} " + json.dumps(
            _CALL_END, ensure_ascii=False
        )

    def grammar(self, tools: Sequence[ToolSpec], to_gbnf: SchemaToGbnf) -> str:
        """One or more calls in one block."""
        rules, names = [], []
        for number, tool in enumerate(tools):
            rules.append(to_gbnf(tool.parameters, f"t{number}-"))
            rules.append(f"call{number} ::= {self._call_rule(tool, f't{number}-root')}")
            names.append(f"call{number}")
        rules.append(f"call ::= {' | '.join(names)}")
        return f'root ::= "{_BEGIN}" call ("\\n"? call)* "{_END}"\n' + "\n".join(rules)


class DeepSeekR1(DeepSeek):
    """``function<｜tool▁sep｜>NAME`` and the arguments in a fenced block (R1)."""

    name = "deepseek-r1"

    def detect(self, template: str) -> bool:
        """The template has DeepSeek's marks."""
        return _BEGIN in template

    def _call_rule(self, tool: ToolSpec, arguments: str) -> str:
        before = json.dumps(f"{_CALL}function{_SEPARATOR}{tool.name}\n```json\n", ensure_ascii=False)
        return f"{before} {arguments} " + json.dumps(f"\n```{_CALL_END}", ensure_ascii=False)
