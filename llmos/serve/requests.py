"""From a client's request to the kernel's: messages, tools, grammars, sampling."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llmos.kernel.protocol import GenerateRequest, Kernel
from llmos.serve.schema import ChatMessage, ChatRequest, Sampled, TextRequest
from llmos.types import Message, SamplingSettings, ToolCall, ToolSpec, new_id


class ApiError(Exception):
    """What a client is told, in the form that OpenAI's clients expect."""

    def __init__(
        self, status: int, message: str, kind: str = "invalid_request_error", param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.kind, self.param = status, message, kind, param

    def body(self) -> dict[str, Any]:
        """The error object."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": None}}


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request ready for the kernel.

    Attributes:
        request: without its sequence, which a slot gives.
        id: of the answer.
        model: name that the answer carries.
        tools: whether calls may be in the answer.
        created: seconds since the epoch.
    """

    request: GenerateRequest
    id: str
    model: str
    tools: bool = False
    created: int = field(default_factory=lambda: int(time.time()))


def sampling(body: Sampled) -> SamplingSettings:
    """Sampler settings; what the client leaves out is OpenAI's default."""
    base = SamplingSettings()
    return SamplingSettings(
        temperature=1.0 if body.temperature is None else body.temperature,
        top_k=0 if body.top_k is None else body.top_k,
        top_p=1.0 if body.top_p is None else body.top_p,
        min_p=base.min_p if body.min_p is None else body.min_p,
        repeat_penalty=body.repeat_penalty,
        presence_penalty=body.presence_penalty,
        frequency_penalty=body.frequency_penalty,
        seed=None if body.seed is None else body.seed & 0x7FFFFFFF,
    )


def message_of(one: ChatMessage, place: int) -> Message:
    """A message for the kernel's template.

    Raises:
        ApiError: content that cannot be read, or arguments that are no JSON object.
    """
    try:
        text = one.text()
    except ValueError as error:
        raise ApiError(400, f"messages[{place}]: {error}.", param=f"messages.{place}.content") from None
    calls = []
    for call in one.tool_calls or []:
        try:
            arguments = json.loads(call.function.arguments or "{}")
        except ValueError:
            arguments = None
        if not isinstance(arguments, dict):
            raise ApiError(400, f"messages[{place}]: the arguments of a tool call are no JSON object.")
        calls.append(ToolCall(call.function.name, arguments, call.id or new_id()))
    role = "system" if one.role == "developer" else one.role
    return Message(
        role,
        text,
        thinking=one.reasoning_content or "",
        tool_calls=tuple(calls),
        tool_call_id=one.tool_call_id,
        name=one.name,
    )


def _tools(body: ChatRequest) -> list[ToolSpec]:
    choice = body.tool_choice
    if choice == "none":
        return []
    specs = [
        ToolSpec(one.function.name, one.function.description, one.function.parameters) for one in body.tools
    ]
    if isinstance(choice, Mapping):
        name = choice.get("function", {}).get("name") if isinstance(choice.get("function"), Mapping) else None
        specs = [spec for spec in specs if spec.name == name]
        if not specs:
            raise ApiError(
                400, f"tool_choice names {name!r}, which is no tool of this request.", param="tool_choice"
            )
    elif choice == "required" and not specs:
        raise ApiError(400, "tool_choice is required and there are no tools.", param="tool_choice")
    return specs


async def _grammar(kernel: Kernel, body: ChatRequest, tools: list[ToolSpec]) -> tuple[str, str]:
    """(GBNF, trigger) of a chat request."""
    wanted = body.response_format
    if wanted is not None and wanted.type != "text":
        from llmos.kernel.grammar import schema_to_gbnf

        schema = wanted.json_schema.schema_ if wanted.json_schema else {}
        try:
            return await asyncio.to_thread(schema_to_gbnf, schema or {"type": "object"}), ""
        except Exception as error:
            raise ApiError(400, f"The JSON schema cannot be used: {error}", param="response_format") from error
    if tools:
        grammar, trigger = await kernel.tool_grammar(tools)
        forced = body.tool_choice == "required" or isinstance(body.tool_choice, Mapping)
        return grammar, "" if forced else trigger
    return "", ""


def _bias(body: Sampled) -> dict[int, float]:
    out = {}
    for token, value in (body.logit_bias or {}).items():
        if not token.isdigit():
            raise ApiError(400, f"logit_bias: {token!r} is no token id.", param="logit_bias")
        out[int(token)] = max(-100.0, min(100.0, value))
    return out


def _room(kernel: Kernel, tokens: int) -> None:
    context = kernel.model.context if kernel.model else 0
    if tokens >= context:
        raise ApiError(
            400,
            f"This model's context is {context} tokens and the prompt has {tokens}; shorten it.",
            param="messages",
        )


async def prepare_chat(kernel: Kernel, body: ChatRequest) -> Prepared:
    """Render and constrain a chat request.

    Raises:
        ApiError: what the client must change.
    """
    messages = [message_of(one, place) for place, one in enumerate(body.messages)]
    tools = _tools(body)
    rendered = await kernel.render_chat(messages, tools)
    _room(kernel, len(rendered.tokens))
    grammar, trigger = await _grammar(kernel, body, tools)
    request = GenerateRequest(
        rendered.tokens,
        max_tokens=body.max_completion_tokens or body.max_tokens,
        sampling=sampling(body),
        stop=(*rendered.stop, *body.stops()),
        grammar=grammar,
        grammar_trigger=trigger,
        samples=body.n,
        logprobs=(body.top_logprobs or 1) if body.logprobs else 0,
        bias=_bias(body),
    )
    return Prepared(request, f"chatcmpl-{new_id()}", kernel.model.name if kernel.model else "", bool(tools))


async def prepare_text(kernel: Kernel, body: TextRequest, prompt: str) -> Prepared:
    """Tokenise a text completion request."""
    tokens = await kernel.tokenize(prompt, bos=True)
    _room(kernel, len(tokens))
    request = GenerateRequest(
        tokens or [0],
        max_tokens=body.max_tokens,
        sampling=sampling(body),
        stop=body.stops(),
        samples=body.n,
        logprobs=body.logprobs or 0,
        bias=_bias(body),
    )
    return Prepared(request, f"cmpl-{new_id()}", kernel.model.name if kernel.model else "")
