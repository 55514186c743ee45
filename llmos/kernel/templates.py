"""Chat templates: foreign Jinja code, rendered in a sandbox, with content that stays content.

Whatever users and data wrote may hold the names of special tokens. Before rendering, every such
name is replaced by a letter of the private use plane; after rendering the text is split at these
letters and each name is cut into tokens as plain text. So it can never act as a special token.
"""

from __future__ import annotations

import functools
import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llmos.kernel.protocol import KernelError
from llmos.types import Message, ToolSpec

_PRIVATE_FIRST, _PRIVATE_LAST = 0xF0000, 0xFFFFD
_PRIVATE = re.compile(f"[{chr(_PRIVATE_FIRST)}-{chr(_PRIVATE_LAST)}]")

#: User-defined tokens are often ordinary text (runs of blanks, HTML tags); these look like marks.
_MARK = re.compile(
    r"think|tool|func|call|im_|turn|start|end|channel|respon|message|system|user|assistant|INST|\|", re.I
)

#: A rendered prompt above this is a template gone wrong.
MAX_RENDERED = 16_000_000

#: Serves models that bring no template and have no ChatML tokens.
PLAIN_TEMPLATE = """\
{%- for message in messages -%}
{{ {'system': '', 'user': 'User: ', 'tool': 'Tool: '}.get(message.role, 'Assistant: ') }}{{ message.content }}

{% endfor -%}
{%- if add_generation_prompt %}Assistant:{% endif -%}
"""

#: An answer in the plain template ends where the model begins to write the user's part.
PLAIN_STOPS = ("\nUser:", "\nTool:")

#: Added to the system message when the template itself does not show tools.
TOOL_INSTRUCTIONS = """\
You may call a function. Functions:
{tools}
To call one, write only <tool_call>{{"name": NAME, "arguments": {{...}}}}</tool_call> with JSON arguments."""


class TemplateRefused(KernelError):
    """The template itself raised an error, for example about the order of roles."""


class Neutraliser:
    """Replaces special-token names in content by private letters, one letter for each name.

    Args:
        names: special-token names of the model.
    """

    def __init__(self, names: Iterable[str]) -> None:
        # One pattern of all names would be tried name by name at every letter: seconds, with the
        # thousands of unused tokens that some vocabularies have.
        self._names = frozenset(name for name in names if name)
        self._lengths = sorted({len(name) for name in self._names}, reverse=True)
        first = "".join(re.escape(letter) for letter in sorted({name[0] for name in self._names}))
        self._starts = re.compile(f"[{first}{_PRIVATE.pattern[1:-1]}]")
        self._letter_of: dict[str, str] = {}
        self._name_of: dict[str, str] = {}

    def hide(self, text: str) -> str:
        """The text with private letters in place of names."""
        parts: list[str] = []
        done = 0
        for found in self._starts.finditer(text):
            at = found.start()
            name = self._name_at(text, at) if at >= done else ""
            if name:
                parts += (text[done:at], self._letter(name))
                done = at + len(name)
        return "".join((*parts, text[done:])) if parts else text

    def _name_at(self, text: str, at: int) -> str:
        """The longest name that stands at a place (a private letter is one, too), or nothing."""
        if _PRIVATE.match(text, at):
            return text[at]
        for length in self._lengths:
            if text[at : at + length] in self._names:
                return text[at : at + length]
        return ""

    def hide_all(self, value: Any) -> Any:
        """The same for every string inside a JSON-like value, keys included."""
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, Mapping):
            return {self.hide(str(key)): self.hide_all(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.hide_all(one) for one in value]
        return value

    def _letter(self, name: str) -> str:
        letter = self._letter_of.get(name)
        if letter is None:
            number = _PRIVATE_FIRST + len(self._letter_of)
            if number > _PRIVATE_LAST:
                raise KernelError("The text holds too many different special characters.")
            letter = self._letter_of[name] = chr(number)
            self._name_of[letter] = name
        return letter

    def spans(self, rendered: str) -> list[tuple[str, bool]]:
        """The rendered text in parts: (text, whether special tokens are read in it)."""
        parts: list[tuple[str, bool]] = []
        start = 0
        for found in _PRIVATE.finditer(rendered):
            if found.start() > start:
                parts.append((rendered[start : found.start()], True))
            parts.append((self._name_of.get(found[0], found[0]), False))
            start = found.end()
        if start < len(rendered):
            parts.append((rendered[start:], True))
        return parts


def special_names(control: Iterable[str], defined: Iterable[str], template: str) -> list[str]:
    """Names that must not act as tokens when a user writes them."""
    chosen = [name for name in control if len(name) > 1]
    chosen += [
        name
        for name in defined
        if len(name) > 2 and not name.isspace() and (name in template or _MARK.search(name))
    ]
    return chosen


def chat_values(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> dict[str, Any]:
    """Messages and tools in the shape that chat templates expect (that of the OpenAI interface)."""
    return {
        "messages": [_message_value(message) for message in messages],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": _json_like(tool.parameters),
                },
            }
            for tool in tools
        ]
        or None,
    }


def with_tool_instructions(values: dict[str, Any]) -> dict[str, Any]:
    """Describe the tools in the system message, for templates that do not show them."""
    lines = "\n".join(json.dumps(tool["function"], ensure_ascii=False) for tool in values["tools"])
    text = TOOL_INSTRUCTIONS.format(tools=lines)
    messages = [dict(one) for one in values["messages"]]
    if messages and messages[0]["role"] == "system":
        messages[0]["content"] = f"{messages[0]['content']}\n\n{text}"
    else:
        messages.insert(0, {"role": "system", "content": text})
    return {**values, "messages": messages}


def _json_like(value: Any) -> Any:
    return json.loads(json.dumps(value, default=dict))


def _message_value(message: Message) -> dict[str, Any]:
    value: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.thinking:
        value["reasoning_content"] = message.thinking
    if message.tool_calls:
        value["tool_calls"] = [
            {
                "id": call.id[:9],
                "type": "function",
                "function": {"name": call.name, "arguments": _json_like(call.arguments)},
            }
            for call in message.tool_calls
        ]
    if message.role == "tool":
        value["name"] = message.name
        value["tool_call_id"] = message.tool_call_id[:9]
    return value


@functools.lru_cache(maxsize=8)
def _compiled(template: str) -> Any:
    """A template ready to render: compiling takes many times as long as rendering."""
    return _environment().from_string(template)


def render(template: str, values: Mapping[str, Any]) -> str:
    """Render once, in Jinja's sandbox. There is no deadline here: see ``rendering``.

    Raises:
        TemplateRefused: the template called ``raise_exception``.
        KernelError: the template is broken.
    """
    from jinja2 import TemplateError
    from jinja2.exceptions import SecurityError

    try:
        text: str = _compiled(template).render(**values)
    except TemplateRefused:
        raise
    except SecurityError as error:
        raise KernelError(f"The model's chat template tries what it must not ({error}).") from error
    except (TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        raise TemplateRefused(
            f"The model's chat template cannot render this chat ({error}); use a model with a sound template."
        ) from error
    except (RecursionError, MemoryError) as error:
        raise KernelError("The model's chat template takes too much memory.") from error
    if len(text) > MAX_RENDERED:
        raise KernelError("The model's chat template makes a text that is far too long.")
    return text


def render_patiently(template: str, values: Mapping[str, Any]) -> str:
    """Render; where the template refuses the order of roles, render a milder form of the chat.

    Raises:
        KernelError: every form was refused; the first refusal is told.
    """
    first: TemplateRefused | None = None
    for change in (_as_it_is, _arguments_as_text, _system_into_user, _alternating):
        try:
            return render(template, {**values, "messages": change(values["messages"])})
        except TemplateRefused as error:
            first = first or error
    assert first is not None
    raise first


Messages = list[dict[str, Any]]


def _as_it_is(messages: Messages) -> Messages:
    return messages


def _arguments_as_text(messages: Messages) -> Messages:
    """For templates that join a call's arguments to text themselves."""
    changed = []
    for one in messages:
        calls = [
            {**call, "function": {**call["function"], "arguments": _tojson(call["function"]["arguments"])}}
            for call in one.get("tool_calls", ())
        ]
        changed.append({**one, "tool_calls": calls} if calls else one)
    return changed


def _system_into_user(messages: Messages) -> Messages:
    """For templates without a system role: its text goes before the first user message."""
    text = "\n\n".join(str(one["content"]) for one in messages if one["role"] == "system")
    rest = [dict(one) for one in messages if one["role"] != "system"]
    if text:
        for one in rest:
            if one["role"] == "user":
                one["content"] = f"{text}\n\n{one['content']}"
                return rest
        rest.insert(0, {"role": "user", "content": text})
    return rest


def _alternating(messages: Messages) -> Messages:
    """For templates that want user and assistant in turn: neighbours of one role become one."""
    merged: Messages = []
    for one in _system_into_user(messages):
        role = "user" if one["role"] == "tool" else one["role"]
        content = str(one["content"] or "")
        if not content and one.get("tool_calls"):
            content = json.dumps([call["function"] for call in one["tool_calls"]], ensure_ascii=False)
        if merged and merged[-1]["role"] == role:
            merged[-1]["content"] += f"\n\n{content}"
        else:
            merged.append({"role": role, "content": content})
    if merged and merged[0]["role"] != "user":
        merged.insert(0, {"role": "user", "content": "…"})
    return merged


def _environment() -> Any:
    from jinja2 import nodes
    from jinja2.ext import Extension
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """``{% generation %}`` marks the assistant's part for training; here it is transparent."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body, lineno=line)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", Generation]
    )
    environment.filters["tojson"] = _tojson
    environment.filters["fromjson"] = json.loads
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = time.strftime
    return environment


def _refuse(sentence: object) -> None:
    raise TemplateRefused(f"The model's chat template refuses this chat: {sentence}.")


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """As the templates were written for: no HTML escapes, letters as they are."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
