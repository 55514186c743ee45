"""JSON schema to GBNF, the grammar that llama.cpp holds an answer to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llmos.kernel.library import native
from llmos.kernel.protocol import KernelError

#: Space between JSON's marks: at most one, so that a small model cannot write blanks for ever.
_SPACE_RULE = re.compile(r"^space ::=.*$", re.MULTILINE)

#: The converter lets raw control characters into strings, which JSON forbids.
_LOOSE_CHARACTER = '[^"\\\\]'
_STRICT_CHARACTER = '[^"\\\\\\x7F\\x00-\\x1F]'


def schema_to_gbnf(schema: Mapping[str, Any], prefix: str = "") -> str:
    """Rules for a JSON value that follows the schema; its start rule is ``{prefix}root``.

    Args:
        schema: JSON schema.
        prefix: put before every rule's name, so that several grammars can stand in one text.

    Raises:
        KernelError: the schema uses what cannot be turned into a grammar.
    """
    native()
    from llmos.kernel.schema_rules import grammar_text

    try:
        text = grammar_text(_plain(schema))
    except Exception as error:  # the converter raises many kinds
        raise KernelError(f"The tool's JSON schema cannot be turned into a grammar ({error}).") from error
    text = _SPACE_RULE.sub('space ::= " "?', text).replace(_LOOSE_CHARACTER, _STRICT_CHARACTER)
    return _with_prefix(text, prefix) if prefix else text


def _plain(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with an object's properties in order and no stray ones allowed."""
    made = dict(schema)
    if made.get("type", "object") == "object":
        made.setdefault("type", "object")
        made.setdefault("properties", {})
        made.setdefault("additionalProperties", False)
    return made


def _with_prefix(text: str, prefix: str) -> str:
    names = re.findall(r"^([a-zA-Z0-9-]+) ::=", text, re.MULTILINE)
    lines = []
    word = re.compile(r'"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]|[a-zA-Z][a-zA-Z0-9-]*')
    known = set(names)
    for line in text.splitlines():
        lines.append(word.sub(lambda found: prefix + found[0] if found[0] in known else found[0], line))
    return "\n".join(lines)


def literal(text: str) -> str:
    """A text as a GBNF literal."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'
