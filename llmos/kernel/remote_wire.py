"""OpenAI's wire format as the remote kernel reads it: streams of deltas, errors, model lists."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any

from llmos.formats import THINK_CLOSE, THINK_OPEN, TOOL_CALL_CLOSE, TOOL_CALL_OPEN
from llmos.kernel.protocol import KernelError

if TYPE_CHECKING:
    import httpx

_DEFAULT_CONTEXT = 8192


class Writer:
    """One sample's deltas as raw text with the tags that ``parse_answer`` reads."""

    def __init__(self) -> None:
        self.text = ""
        self.reason = ""
        self.ended = False
        self._thinking = False
        self._calls: dict[int, dict[str, str]] = {}

    def take(self, choice: Mapping[str, Any]) -> str:
        """New raw text of a chunk."""
        delta = choice.get("delta") or {}
        thought = delta.get("reasoning_content") or delta.get("reasoning") or ""
        content = delta.get("content") or choice.get("text") or ""
        out = ""
        if thought:
            out += thought if self._thinking else f"{THINK_OPEN}\n{thought}"
            self._thinking = True
        if content:
            out += self._close_thought() + content
        for call in delta.get("tool_calls") or ():
            held = self._calls.setdefault(int(call.get("index", 0)), {"name": "", "arguments": ""})
            function = call.get("function") or {}
            held["name"] += function.get("name") or ""
            held["arguments"] += function.get("arguments") or ""
        if choice.get("finish_reason"):
            self.reason, self.ended = str(choice["finish_reason"]), True
        self.text += out
        return out

    def _close_thought(self) -> str:
        if not self._thinking:
            return ""
        self._thinking = False
        return f"\n{THINK_CLOSE}\n"

    def finish(self) -> str:
        """What is left at the end: an open thought, and the calls."""
        out = self._close_thought()
        for _, call in sorted(self._calls.items()):
            arguments = call["arguments"] or "{}"
            name = json.dumps(call["name"])
            out += f'{TOOL_CALL_OPEN}{{"name": {name}, "arguments": {arguments}}}{TOOL_CALL_CLOSE}'
        self._calls = {}
        self.text += out
        return out


async def events(answer: httpx.Response) -> AsyncGenerator[Mapping[str, Any], None]:
    """Decoded server-sent events up to ``[DONE]``.

    Raises:
        KernelError: the server sent an error in the stream.
    """
    async for line in answer.aiter_lines():
        if not line.startswith("data:"):
            continue
        data = line[5:].strip()
        if data == "[DONE]":
            return
        try:
            event = json.loads(data)
        except ValueError:
            continue
        if isinstance(event, Mapping):
            if "error" in event:
                raise KernelError(f"The server says: {words(data.encode())}.")
            yield event


def words(body: bytes) -> str:
    """The message of an error object, on one line."""
    try:
        error = json.loads(body)["error"]
        text = error["message"] if isinstance(error, Mapping) else str(error)
    except (ValueError, KeyError, TypeError):
        text = body[:200].decode("utf-8", "replace")
    return " ".join(text.split()).rstrip(".")


def context_of(row: Mapping[str, Any]) -> int:
    """Context window that a server tells of its model, by the names that servers use."""
    meta = row.get("meta") if isinstance(row.get("meta"), Mapping) else {}
    for value in (row.get("context_window"), row.get("max_model_len"), (meta or {}).get("n_ctx_train")):
        if isinstance(value, int) and value > 0:
            return value
    return _DEFAULT_CONTEXT
