"""gpt-oss: the harmony format, where thoughts, calls and the answer are messages on channels."""

from __future__ import annotations

import re
from collections.abc import Sequence

from llmos.kernel.families.base import Family, SchemaToGbnf, make_call
from llmos.kernel.protocol import ParsedAnswer
from llmos.types import ToolCall, ToolSpec

_MESSAGE = re.compile(
    r"(?:<\|start\|>)?(?P<role>[^<]*?)<\|channel\|>(?P<header>.*?)<\|message\|>"
    r"(?P<body>.*?)(?:<\|end\|>|<\|call\|>|<\|return\|>|(?=<\|start\|>)|$)",
    re.DOTALL,
)
_RECIPIENT = re.compile(r"to=functions\.([\w.-]+)")


class GptOss(Family):
    """Channel ``analysis`` holds thoughts, ``commentary to=functions.NAME`` calls, ``final`` the answer."""

    name = "gpt-oss"
    trigger = "<|channel|>commentary to=functions."
    thinking_marks = (
        "<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant<|channel|>final<|message|>",
    )

    def detect(self, template: str) -> bool:
        """The template writes channels."""
        return "<|channel|>" in template and "<|message|>" in template

    def parse(self, text: str) -> ParsedAnswer:
        """Sort the messages by channel; text outside any message is visible."""
        visible: list[str] = []
        thoughts: list[str] = []
        calls: list[ToolCall] = []
        at = 0
        for found in _MESSAGE.finditer(text):
            visible.append(text[at : found.start()])
            at = found.end()
            header, body = found["header"], found["body"]
            recipient = _RECIPIENT.search(found["role"] + " " + header)
            call = make_call(recipient[1], body) if recipient and body.strip() else None
            if call is not None:
                calls.append(call)
            elif header.strip().startswith("analysis"):
                thoughts.append(body)
            else:
                visible.append(body if recipient is None else found[0])
        visible.append(text[at:])
        return ParsedAnswer(
            content="".join(visible).strip(),
            thinking="\n".join(thoughts).strip(),
            tool_calls=tuple(calls),
        )

    def take_calls(self, text: str) -> tuple[str, list[ToolCall]]:
        """The calls, and the rest without thoughts."""
        parsed = self.parse(text)
        return parsed.content, list(parsed.tool_calls)

    def grammar(self, tools: Sequence[ToolSpec], to_gbnf: SchemaToGbnf) -> str:
        """One call; the model ends its turn after it."""
        rules, names = [], []
        for number, tool in enumerate(tools):
            rules.append(to_gbnf(tool.parameters, f"t{number}-"))
            rules.append(
                f'call{number} ::= "{self.trigger}{tool.name}" " "? "<|constrain|>"? "json"? "<|message|>" '
                f"t{number}-root"
            )
            names.append(f"call{number}")
        return f"root ::= {' | '.join(names)}\n" + "\n".join(rules)
