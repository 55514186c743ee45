"""The converter of llama-cpp-python, mended where it drops bounds or writes what llama.cpp cannot read.

- ``minimum`` and ``maximum`` (also exclusive) of whole numbers hold; those of fractions do not;
- lengths are written as ``{m,n}``: nested brackets of thousands of characters kill the process;
- a pattern that cannot be held lets any string pass, instead of taking the grammar away;
- a list of types keeps what else the schema says.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import Any

from llmos.kernel.integer_range import integer_expression
from llmos.kernel.pattern_rule import MOST_REPEATS, NotTranslated, pattern_expression

_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


def grammar_text(schema: Mapping[str, Any]) -> str:
    """Rules for JSON that follows a schema, beginning at ``root``.

    Raises:
        Exception: many kinds, for what cannot be turned into a grammar.
    """
    converter = _converter()(prop_order={}, allow_fetch=False, dotall=False, raw_pattern=False)
    resolved = converter.resolve_refs(json.loads(json.dumps(schema)), "stdin")
    converter.visit(resolved, "")
    return str(converter.format_grammar())


@cache
def _converter() -> Any:
    """The class; made at first use, for the library that it comes from is heavy."""
    from llama_cpp.llama_grammar import PRIMITIVE_RULES, RESERVED_NAMES, SchemaConverter

    class Converter(SchemaConverter):  # type: ignore[misc]
        """See the module."""

        def visit(self, schema: Mapping[str, Any], name: str) -> str:
            """Name of the rule for a part of the schema."""
            kind = schema.get("type")
            plain = not {"$ref", "oneOf", "anyOf", "const", "enum"} & schema.keys()
            rule_name = name + "-" if name in RESERVED_NAMES else name or "root"
            if isinstance(kind, list):
                rest = {key: value for key, value in schema.items() if key != "type"}
                if plain:
                    return self.visit({"anyOf": [{**rest, "type": one} for one in kind]}, name)
                return self.visit(rest, name)
            if plain and kind == "integer" and any(bound in schema for bound in _BOUNDS):
                return str(self._add_rule(rule_name, f"({integer_expression(*bounds(schema))}) space"))
            if plain and kind == "string" and {"pattern", "minLength", "maxLength"} & schema.keys():
                return str(self._add_rule(rule_name, self._string(schema)))
            is_list = kind == "array" or (kind is None and "properties" not in schema)
            if plain and is_list and isinstance(schema.get("items"), dict):
                return str(self._add_rule(rule_name, self._array(schema, name)))
            return str(super().visit(schema, name))

        def _string(self, schema: Mapping[str, Any]) -> str:
            char = self._add_primitive("char", PRIMITIVE_RULES["char"])
            inside = char + repeats(schema.get("minLength"), schema.get("maxLength"))
            if "pattern" in schema:
                with suppress(NotTranslated):  # the finished value is checked against the schema
                    inside = pattern_expression(str(schema["pattern"]), char)
            return rf'"\"" {inside} "\"" space'

        def _array(self, schema: Mapping[str, Any], name: str) -> str:
            item = self.visit(schema["items"], f"{name}{'-' if name else ''}item")
            least, most = schema.get("minItems") or 0, schema.get("maxItems")
            if most == 0:
                return '"[" space "]" space'
            more = repeats(max(0, least - 1), None if most is None else most - 1)
            items = f'{item} ("," space {item}){more}'
            return f'"[" space {items} "]" space' if least else f'"[" space ({items})? "]" space'

    return Converter


def bounds(schema: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Smallest and largest whole number that a schema allows; None where there is no bound."""
    lows = [math.ceil(schema["minimum"])] if _is_number(schema.get("minimum")) else []
    highs = [math.floor(schema["maximum"])] if _is_number(schema.get("maximum")) else []
    if _is_number(schema.get("exclusiveMinimum")):
        lows.append(math.floor(schema["exclusiveMinimum"]) + 1)
    if _is_number(schema.get("exclusiveMaximum")):
        highs.append(math.ceil(schema["exclusiveMaximum"]) - 1)
    return max(lows, default=None), min(highs, default=None)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def repeats(least: int | None, most: int | None) -> str:
    """A repetition in GBNF. What is longer than llama.cpp bears has no upper bound in the grammar."""
    least = min(least or 0, MOST_REPEATS)
    if most is None or most > MOST_REPEATS:
        return {0: "*", 1: "+"}.get(least, f"{{{least},}}")
    if most < least:
        raise ValueError(f"nothing has at least {least} and at most {most} parts")
    return f"{{{least},{most}}}"
