"""Conversations as token ids with a mask of what is learned.

The text is exactly what the chat template makes of the messages; a test compares the two. Ids are
put together piece by piece, because text from outside must never turn into special tokens.
"""

from __future__ import annotations

import json
from typing import Any

from llmos.formats import (
    BUNDLED_TOOLS,
    CHAT_TEMPLATE,
    SPECIAL_TOKENS,
    THINK_CLOSE,
    THINK_OPEN,
    TOOL_CALL_CLOSE,
    TOOL_CALL_OPEN,
    TOOL_RESPONSE_CLOSE,
    TOOL_RESPONSE_OPEN,
    TURN_END,
    TURN_START,
)
from llmos.foundry.tasks.base import Conversation, Turn
from llmos.foundry.tokenizer import Tokenizer

#: A piece of a rendering: text, whether it is a special token, whether it is learned.
Piece = tuple[str, bool, bool]


def tools_line(tools: list[str]) -> str:
    """The line of signatures that the template writes into the system turn."""
    return "Tools:" + "".join(f" {name}({', '.join(BUNDLED_TOOLS[name])})" for name in tools)


def call_text(name: str, arguments: dict[str, str]) -> str:
    """The JSON between the tool-call tags."""
    return f'{{"name": {_json(name)}, "arguments": {_json(arguments)}}}'


def _json(value: Any) -> str:
    """As the program's renderer writes values: no HTML escapes, letters as they are."""
    return json.dumps(value, ensure_ascii=False)


def _assistant_pieces(turn: Turn) -> list[Piece]:
    learn = turn.learn
    pieces: list[Piece] = []
    if turn.thinking:
        pieces += [
            (THINK_OPEN, True, learn),
            (f"\n{turn.thinking}\n", False, learn),
            (THINK_CLOSE, True, learn),
        ]
        pieces.append(("\n", False, learn))
    if turn.content:
        pieces.append((turn.content, False, learn))
    for number, (name, arguments) in enumerate(turn.calls):
        if turn.content or number:
            pieces.append(("\n", False, learn))
        pieces += [(TOOL_CALL_OPEN, True, learn), (call_text(name, arguments), False, learn)]
        pieces.append((TOOL_CALL_CLOSE, True, learn))
    pieces.append((TURN_END, True, learn))
    return pieces


def turn_pieces(turn: Turn) -> list[Piece]:
    """One turn with its marks and the line break behind it."""
    start: list[Piece] = [(TURN_START, True, False), (f"{turn.role}\n", False, False)]
    if turn.role == "assistant":
        return [*start, *_assistant_pieces(turn), ("\n", False, False)]
    body: list[Piece] = [(turn.content, False, False)]
    if turn.role == "tool":
        body = [
            (TOOL_RESPONSE_OPEN, True, False),
            (f"\n{turn.content}\n", False, False),
            (TOOL_RESPONSE_CLOSE, True, False),
        ]
    return [*start, *body, (TURN_END, True, False), ("\n", False, False)]


def conversation_pieces(conversation: Conversation) -> list[Piece]:
    """A whole conversation, the system turn first where there is one."""
    pieces: list[Piece] = []
    if conversation.system:
        text = conversation.system
        if conversation.tools:
            text += "\n" + tools_line(conversation.tools)
        pieces += turn_pieces(Turn("system", text))
    for turn in conversation.turns:
        pieces += turn_pieces(turn)
    return pieces


def prompt_pieces(conversation: Conversation) -> list[Piece]:
    """Everything before the last assistant turn, and the mark that asks for it."""
    last = max(i for i, t in enumerate(conversation.turns) if t.role == "assistant")
    before = Conversation(conversation.turns[:last], conversation.tools, conversation.system)
    return [*conversation_pieces(before), (TURN_START, True, False), ("assistant\n", False, False)]


class Renderer:
    """Turns pieces into ids with one tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._known: dict[str, list[int]] = {}

    def ids(self, pieces: list[Piece]) -> tuple[list[int], list[bool]]:
        """Token ids, and for each whether it is learned.

        Neighbouring pieces of plain text are joined before they are tokenised, as they are when the
        program tokenises the rendered template.
        """
        ids: list[int] = []
        mask: list[bool] = []
        for text, special, learn in _joined(pieces):
            found = [self.tokenizer.special[text]] if special else self._encode(text)
            ids += found
            mask += [learn] * len(found)
        return ids, mask

    def _encode(self, text: str) -> list[int]:
        if len(text) > 60:
            return self.tokenizer.encode(text)
        if text not in self._known:
            if len(self._known) > 50_000:
                self._known.clear()
            self._known[text] = self.tokenizer.encode(text)
        return self._known[text]


def _joined(pieces: list[Piece]) -> list[Piece]:
    out: list[Piece] = []
    for text, special, learn in pieces:
        if not text:
            continue
        if out and not special and not out[-1][1] and out[-1][2] == learn:
            out[-1] = (out[-1][0] + text, False, learn)
        else:
            out.append((text, special, learn))
    return out


def rendered_text(conversation: Conversation, *, generation_prompt: bool = False) -> str:
    """The conversation as the chat template itself renders it (for tests and the record)."""
    import jinja2.sandbox

    messages: list[dict[str, Any]] = []
    if conversation.system:
        messages.append({"role": "system", "content": conversation.system})
    for turn in conversation.turns:
        message: dict[str, Any] = {"role": turn.role, "content": turn.content}
        if turn.thinking:
            message["reasoning_content"] = turn.thinking
        if turn.calls:
            message["tool_calls"] = [{"function": {"name": n, "arguments": a}} for n, a in turn.calls]
        messages.append(message)
    tools = [
        {"function": {"name": name, "parameters": {"properties": {p: {} for p in BUNDLED_TOOLS[name]}}}}
        for name in conversation.tools
    ]
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment()
    environment.filters["tojson"] = _json
    template = environment.from_string(CHAT_TEMPLATE)
    return template.render(messages=messages, tools=tools, add_generation_prompt=generation_prompt)


def is_special(text: str) -> bool:
    """Whether a string is one of the special tokens."""
    return text in SPECIAL_TOKENS
