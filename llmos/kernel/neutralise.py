"""Template tokens inside data, made harmless as text.

A local kernel never reads data as special tokens (it knows which parts of a rendered chat are
data). Where that cannot be known, on a remote kernel or inside a prompt made by hand, the text
itself is changed: the brackets of anything that looks like a template token are replaced by
others that no tokenizer reads as one, and that a person reads just as well.
"""

from __future__ import annotations

import re

#: Turn and tool marks of the common model families.
_TOKENS = re.compile(
    r"<(?=\s*[|｜])"  # <|im_start|>, <|eot_id|>, <｜User｜>
    r"|(?<=[|｜])\s*>"
    r"|<(?=\s*/?\s*(?:s|bos|eos|pad|unk|mask|start_of_turn|end_of_turn|start_of_image|think|thinking|"
    r"tool_call|tool_calls|tool_response|tool_result|tools|function_call|function_calls|invoke|parameter|"
    r"system|user|assistant|human|im_start|im_end|endoftext|unused\d+|reserved_\w+)\b[^<>]{0,80}>)"
    r"|<(?=<\s*/?\s*SYS\s*>>)"
    r"|(?<=<)<(?=\s*/?\s*SYS\s*>>)"
    r"|\[(?=\s*/?\s*(?:INST|TOOL_CALLS|AVAILABLE_TOOLS|TOOL_RESULTS|TOOL_CONTENT|SYSTEM_PROMPT|IMG|ARGS|"
    r"CALL_ID|THINK)\s*\])",
    re.IGNORECASE,
)


def neutralise(text: str) -> str:
    """The text with every template token broken; twice gives the same as once.

    Args:
        text: data that will stand in a prompt.
    """
    return _TOKENS.sub(_replacement, text)


def _replacement(match: re.Match[str]) -> str:
    return match.group().replace("<", "‹").replace(">", "›").replace("[", "⁅")


def has_template_tokens(text: str) -> bool:
    """Whether the text holds anything that looks like a template token."""
    return _TOKENS.search(text) is not None
