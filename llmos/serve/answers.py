"""From the kernel's events to OpenAI's answers, whole or as a stream of chunks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from llmos.conversation.splitting import Splitter
from llmos.kernel.protocol import Chunk, Finished, Kernel
from llmos.serve.requests import Prepared
from llmos.serve.slots import Slots
from llmos.types import TextDelta, ThinkingDelta, ToolCall

_REASONS = {"stop": "stop", "length": "length", "tool_call": "tool_calls"}


@dataclass(slots=True)
class Choice:
    """One answer as it grows."""

    splitter: Splitter
    raw: list[str] = field(default_factory=list)
    logprobs: list[dict[str, Any]] = field(default_factory=list)
    finished: Finished | None = None


def _logprobs(chunk: Chunk) -> list[dict[str, Any]]:
    """OpenAI's form of a chunk's log-probabilities."""
    import math

    rows = []
    for place, logprob in enumerate(chunk.logprobs):
        others = chunk.alternatives[place] if place < len(chunk.alternatives) else ()
        own = next((one.text for one in others if one.token == chunk.tokens[place]), None)
        text = own if own is not None else (chunk.text if len(chunk.tokens) == 1 else "")
        rows.append(
            {
                "token": text,
                "logprob": logprob,
                "bytes": list(text.encode()),
                "top_logprobs": [
                    {
                        "token": one.text,
                        "logprob": math.log(max(one.probability, 1e-30)),
                        "bytes": list(one.text.encode()),
                    }
                    for one in others
                ],
            }
        )
    return rows


def _call(call: ToolCall, index: int | None = None) -> dict[str, Any]:
    out: dict[str, Any] = {
        "id": f"call_{call.id}",
        "type": "function",
        "function": {"name": call.name, "arguments": json.dumps(dict(call.arguments), ensure_ascii=False)},
    }
    return out if index is None else {"index": index, **out}


def usage(choices: list[Choice]) -> dict[str, Any]:
    """Tokens of the prompt, once, and of all answers."""
    ends = [one.finished for one in choices if one.finished is not None]
    prompt = max((one.prompt_tokens for one in ends), default=0)
    made = sum(one.completion_tokens for one in ends)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": made,
        "total_tokens": prompt + made,
        "prompt_tokens_details": {"cached_tokens": max((one.cached_tokens for one in ends), default=0)},
    }


class Answering:
    """One request being answered.

    Args:
        kernel: generates.
        slots: gives the KV sequence.
        prepared: the request.
        chat: chat form; else the text completion form.
    """

    def __init__(self, kernel: Kernel, slots: Slots, prepared: Prepared, *, chat: bool) -> None:
        self._kernel, self._slots, self._prepared, self._chat = kernel, slots, prepared, chat
        request = prepared.request
        self.choices = [
            Choice(Splitter(kernel.parse_answer, trigger=request.grammar_trigger, json_calls=prepared.tools))
            for _ in range(request.samples)
        ]

    async def _events(self) -> AsyncIterator[tuple[int, Chunk | Finished]]:
        prepared = self._prepared.request
        async with self._slots.take(prepared.prompt) as sequence:
            stream = self._kernel.generate(replace(prepared, sequence=sequence))
            async with aclosing(stream):  # type: ignore[type-var]
                async for event in stream:
                    if isinstance(event, Chunk | Finished):
                        choice = self.choices[event.sample]
                        if isinstance(event, Chunk):
                            choice.raw.append(event.text)
                            if self._prepared.request.logprobs:
                                choice.logprobs += _logprobs(event)
                        else:
                            choice.finished = event
                        yield event.sample, event

    async def whole(self) -> dict[str, Any]:
        """The answer in one object."""
        async for sample, event in self._events():
            if isinstance(event, Chunk) and self._chat:
                self.choices[sample].splitter.feed(event.text)
        rows = [self._choice(place, choice) for place, choice in enumerate(self.choices)]
        return {**self._head("chat.completion" if self._chat else "text_completion"), "choices": rows,
                "usage": usage(self.choices)}  # fmt: skip

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self._prepared.id,
            "object": kind,
            "created": self._prepared.created,
            "model": self._prepared.model,
        }

    def _choice(self, place: int, choice: Choice) -> dict[str, Any]:
        reason = _REASONS.get(choice.finished.stop_reason if choice.finished else "stop", "stop")
        logprobs = {"content": choice.logprobs} if self._prepared.request.logprobs else None
        if not self._chat:
            return {"index": place, "text": "".join(choice.raw), "finish_reason": reason, "logprobs": logprobs}
        _, parsed = choice.splitter.finish()
        message: dict[str, Any] = {"role": "assistant", "content": parsed.content or None}
        if parsed.thinking:
            message["reasoning_content"] = parsed.thinking
        if parsed.tool_calls and self._prepared.tools:
            message["tool_calls"] = [_call(call) for call in parsed.tool_calls]
            reason = "tool_calls"
        elif not parsed.content:
            message["content"] = ""
        return {"index": place, "message": message, "finish_reason": reason, "logprobs": logprobs}

    async def stream(self, *, with_usage: bool) -> AsyncIterator[dict[str, Any]]:
        """The answer as chunks."""
        kind = "chat.completion.chunk" if self._chat else "text_completion"
        if self._chat:
            for place in range(len(self.choices)):
                yield self._chunk(kind, place, {"role": "assistant", "content": ""})
        async for sample, event in self._events():
            choice = self.choices[sample]
            if isinstance(event, Chunk):
                for delta in self._deltas(choice, event):
                    yield self._chunk(kind, sample, delta, logprobs=_logprobs(event))
            else:
                for delta, reason in self._ends(choice, event):
                    yield self._chunk(kind, sample, delta, reason=reason)
        if with_usage:
            yield {**self._head(kind), "choices": [], "usage": usage(self.choices)}

    def _deltas(self, choice: Choice, event: Chunk) -> list[dict[str, Any]]:
        if not self._chat:
            return [{"text": event.text}]
        return [_delta(one) for one in choice.splitter.feed(event.text)]

    def _ends(self, choice: Choice, event: Finished) -> list[tuple[dict[str, Any], str | None]]:
        reason = _REASONS.get(event.stop_reason, "stop")
        if not self._chat:
            return [({"text": ""}, reason)]
        deltas, parsed = choice.splitter.finish()
        out: list[tuple[dict[str, Any], str | None]] = [(_delta(one), None) for one in deltas]
        if parsed.tool_calls and self._prepared.tools:
            calls = [_call(call, place) for place, call in enumerate(parsed.tool_calls)]
            out.append(({"tool_calls": calls}, None))
            reason = "tool_calls"
        out.append(({}, reason))
        return out

    def _chunk(
        self,
        kind: str,
        place: int,
        delta: dict[str, Any],
        reason: str | None = None,
        logprobs: list[dict[str, Any]] | None = None,
    ) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": place, "finish_reason": reason, "logprobs": None}
        if logprobs and self._prepared.request.logprobs:
            choice["logprobs"] = {"content": logprobs}
        choice.update({"delta": delta} if self._chat else delta)
        return {**self._head(kind), "choices": [choice]}


def _delta(one: TextDelta | ThinkingDelta) -> dict[str, Any]:
    return {"content": one.text} if isinstance(one, TextDelta) else {"reasoning_content": one.text}
