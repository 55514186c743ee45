"""A kernel on a server that speaks OpenAI's wire format: vLLM, llama-server, Ollama, ``llmos serve``.

The program thinks in token lists; a server takes messages. So a prompt's "tokens" here are a key
that stands for the rendered chat or text, followed by padding up to its estimated length. What
needs logits or the KV cache raises ``NotAvailable`` with one sentence.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmos.formats import TOOL_CALL_OPEN
from llmos.kernel.client_looks import NoLooks
from llmos.kernel.families.hermes import Hermes
from llmos.kernel.neutralise import neutralise
from llmos.kernel.protocol import (
    Chunk,
    Finished,
    GenerateEvent,
    GenerateRequest,
    KernelDied,
    KernelError,
    KernelStats,
    LoadRequest,
    ModelInfo,
    NotAvailable,
    ParsedAnswer,
    Prefilled,
    Rendered,
)
from llmos.kernel.remote_wire import Writer, context_of, events, words
from llmos.types import Message, StopReason, ToolSpec

if TYPE_CHECKING:
    import httpx

#: Ids from here on are keys; what is below is padding.
_FIRST_KEY = 1 << 32
_KEPT = 512
_LETTERS_A_TOKEN = 4
_REASONS: dict[str, StopReason] = {"stop": "stop", "length": "length", "tool_calls": "stop"}


@dataclass(frozen=True, slots=True)
class _Chat:
    """A rendered chat, as the server wants it."""

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]]


def estimate(text: str) -> int:
    """Tokens of a text, where nobody can count them: one for four letters."""
    return max(1, math.ceil(len(text) / _LETTERS_A_TOKEN))


def message_json(message: Message) -> dict[str, Any]:
    """A message in OpenAI's form."""
    # The server's tokenizer may read special tokens anywhere, so data must not hold any.
    content = message.content if message.role == "system" else neutralise(message.content)
    out: dict[str, Any] = {"role": message.role, "content": content}
    if message.tool_calls:
        out["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": neutralise(json.dumps(dict(call.arguments), ensure_ascii=False)),
                },
            }
            for call in message.tool_calls
        ]
    if message.role == "tool":
        out["tool_call_id"] = message.tool_call_id
    return out


def tool_json(tool: ToolSpec) -> dict[str, Any]:
    """A tool in OpenAI's form."""
    description = neutralise(tool.description)
    function = {"name": tool.name, "description": description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}


class RemoteKernel(NoLooks):
    """The ``Kernel`` protocol over HTTP.

    Args:
        url: the server's address, with or without ``/v1``.
        token: bearer token; None takes ``LLMOS_KERNEL_TOKEN``.
        client: for the requests; None makes one.
    """

    def __init__(self, url: str, token: str | None = None, client: httpx.AsyncClient | None = None) -> None:
        base = url.rstrip("/")
        self.url = base if base.endswith("/v1") else base + "/v1"
        self._token = os.environ.get("LLMOS_KERNEL_TOKEN", "") if token is None else token
        self._client = client
        self._model: ModelInfo | None = None
        self._family = Hermes()
        self._prompts: OrderedDict[int, _Chat | str] = OrderedDict()
        self._keys = itertools.count(_FIRST_KEY)
        self._rate = 0.0

    @property
    def model(self) -> ModelInfo | None:
        """The server's model; None before ``load``."""
        return self._model

    def _http(self) -> httpx.AsyncClient:
        if self._client is None:
            import httpx

            from llmos.offline import async_http_client

            headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
            timeout = httpx.Timeout(10.0, read=300.0)
            self._client = async_http_client("The model's server", local=True, headers=headers, timeout=timeout)
        return self._client

    async def load(self, request: LoadRequest) -> ModelInfo:
        """Ask the server for its models; a name in ``request.path`` chooses one.

        Raises:
            KernelError: not reachable, refused, or no such model.
        """
        import httpx

        try:
            answer = await self._http().get(f"{self.url}/models")
            answer.raise_for_status()
            rows = [row for row in list(answer.json()["data"]) if isinstance(row, Mapping)]
        except httpx.HTTPStatusError as error:
            raise KernelError(self._refused(error.response.status_code, "")) from error
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise KernelError(
                f"The server {self.url} does not answer as a model server ({error or type(error).__name__}); "
                "is it running, and is the address right?"
            ) from error
        names = [str(row.get("id", "")) for row in rows]
        wanted = request.path.as_posix() if request.path.name else ""
        if not names:
            raise KernelError(f"The server {self.url} has no model loaded.")
        if wanted and wanted not in names:
            raise KernelError(f"The server {self.url} has no model {wanted}; it has {', '.join(names[:8])}.")
        row = rows[names.index(wanted)] if wanted else rows[0]
        context = request.context or context_of(row)
        self._model = ModelInfo(
            name=str(row["id"]), path=self.url, architecture="remote", parameters=0, file_bytes=0, vocabulary=0,
            context=context, trained_context=context, embedding_width=0, layers=0, threads=0, quantisation="",
            chat_template="", tool_family="openai",
        )  # fmt: skip
        return self._model

    def _refused(self, status: int, words: str) -> str:
        if status in (401, 403):
            return f"The server {self.url} wants a token: set LLMOS_KERNEL_TOKEN."
        return f"The server {self.url} refused ({status}){': ' + words if words else ''}."

    # Text and "tokens".

    def _keep(self, prompt: _Chat | str, length: int) -> tuple[int, ...]:
        key = next(self._keys)
        self._prompts[key] = prompt
        while len(self._prompts) > _KEPT:
            self._prompts.popitem(last=False)
        return (key, *([0] * (length - 1)))

    async def tokenize(self, text: str, *, special: bool = False, bos: bool = False) -> list[int]:
        """A key for the text, as long as its estimated tokens."""
        return list(self._keep(text, estimate(text))) if text else []

    async def detokenize(self, tokens: Sequence[int], *, special: bool = True) -> str:
        """The texts behind keys."""
        return "".join(part for part in (self._prompts.get(key) for key in tokens) if isinstance(part, str))

    async def pieces(self, tokens: Sequence[int]) -> list[bytes]:
        """Not available: a server does not show its tokens."""
        raise NotAvailable("A remote kernel does not show its tokens; load a local model for that.")

    async def render_chat(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec] = (), *, add_generation_prompt: bool = True
    ) -> Rendered:
        """The chat in OpenAI's form; the server applies its own template."""
        chat = _Chat([message_json(one) for one in messages], [tool_json(one) for one in tools])
        text = "\n".join(str(one["content"]) for one in chat.messages)
        length = estimate(text) + 4 * len(messages) + sum(estimate(json.dumps(tool)) for tool in chat.tools)
        return Rendered(text, self._keep(chat, length))

    async def tool_grammar(self, tools: Sequence[ToolSpec]) -> tuple[str, str]:
        """No grammar: the server constrains its own calls; they come back between these tags."""
        return "", TOOL_CALL_OPEN if tools else ""

    def parse_answer(self, text: str) -> ParsedAnswer:
        """Thoughts, calls and text, which ``generate`` writes with the tags of Hermes models."""
        return self._family.parse(text)

    # Generation.

    def _body(self, request: GenerateRequest) -> tuple[str, dict[str, Any]]:
        parts = [self._prompts[key] for key in request.prompt if key in self._prompts]
        if not parts:
            raise KernelError("This prompt is too old for the remote kernel; send it again.")
        sampling = request.sampling
        body: dict[str, Any] = {
            "model": self._model.name if self._model else "",
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "presence_penalty": sampling.presence_penalty,
            "frequency_penalty": sampling.frequency_penalty,
        }
        if sampling.seed is not None:
            body["seed"] = sampling.seed
        if request.max_tokens is not None:
            body["max_tokens"] = request.max_tokens
        if request.stop:
            body["stop"] = list(request.stop)
        if request.samples > 1:
            body["n"] = request.samples
        if isinstance(parts[0], str):
            return "completions", {**body, "prompt": "".join(part for part in parts if isinstance(part, str))}
        chat = parts[0]
        messages = list(chat.messages)
        begun = "".join(part for part in parts[1:] if isinstance(part, str))
        if begun:
            messages.append({"role": "assistant", "content": begun})
        if chat.tools:
            body["tools"] = chat.tools
        return "chat/completions", {**body, "messages": messages}

    async def generate(self, request: GenerateRequest) -> AsyncIterator[GenerateEvent]:
        """Generate on the server.

        Raises:
            KernelDied: the connection broke in mid-answer; what came before it stands.
            KernelError: the server refused.
            NotAvailable: a grammar was asked for.
        """
        import httpx

        if request.grammar:
            raise NotAvailable("A remote kernel cannot be held to a grammar; load a local model for that.")
        path, body = self._body(request)
        began, first = time.perf_counter(), 0.0
        writers = [Writer() for _ in range(request.samples)]
        usage: Mapping[str, Any] = {}
        yield Prefilled(0, len(request.prompt), 0)
        try:
            async with self._http().stream("POST", f"{self.url}/{path}", json=body) as answer:
                if answer.status_code != 200:
                    raise KernelError(self._refused(answer.status_code, words(await answer.aread())))
                async with aclosing(events(answer)) as stream:
                    async for event in stream:
                        usage = event.get("usage") or usage
                        for choice in event.get("choices", ()):
                            writer = writers[min(int(choice.get("index", 0)), len(writers) - 1)]
                            text = writer.take(choice)
                            if text:
                                first = first or time.perf_counter() - began
                                yield Chunk(text, sample=int(choice.get("index", 0)))
        except httpx.HTTPError as error:
            raise KernelDied(f"The connection to {self.url} broke ({type(error).__name__}).") from error
        seconds = time.perf_counter() - began
        made = int(usage.get("completion_tokens", 0)) or sum(estimate(writer.text) for writer in writers)
        self._rate = made / seconds if seconds else 0.0
        details = usage.get("prompt_tokens_details") or {}
        for sample, writer in enumerate(writers):
            rest = writer.finish()
            if rest:
                yield Chunk(rest, sample=sample)
            if not writer.ended:
                raise KernelDied(f"The server {self.url} ended the answer early.")
            yield Finished(
                _REASONS.get(writer.reason, "stop"),
                sample,
                int(usage.get("prompt_tokens", 0)) or len(request.prompt),
                int(details.get("cached_tokens") or 0),
                made // len(writers),
                seconds,
                first,
                self._rate,
            )

    async def embed(self, texts: Sequence[str], *, hidden: bool = False) -> list[list[float]]:
        """Vectors from the server's embedding route."""
        import httpx

        if hidden:
            raise NotAvailable("A remote kernel does not show hidden states; load a local model for that.")
        try:
            name = self._model.name if self._model else ""
            answer = await self._http().post(
                f"{self.url}/embeddings", json={"input": list(texts), "model": name}
            )
            answer.raise_for_status()
            rows = sorted(answer.json()["data"], key=lambda row: row["index"])
            return [[float(value) for value in row["embedding"]] for row in rows]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise KernelError(f"The server {self.url} gives no embeddings ({type(error).__name__}).") from error

    # What a server does not offer.

    async def set_lora(self, path: Path | None, scale: float = 1.0) -> None:
        """Not available, but taking none off is no fault."""
        if path is not None:
            raise NotAvailable("A remote kernel takes no LoRA from here; load a local model for that.")

    async def fork(self, source: str, target: str) -> None:
        """Nothing to do: the server keeps its own prefix cache."""

    async def drop(self, sequence: str) -> None:
        """Nothing to do."""

    async def save_sequence(self, sequence: str, path: Path) -> int:
        """Nothing is saved; the server keeps its own cache."""
        return 0

    async def restore_sequence(self, sequence: str, path: Path) -> int:
        """Nothing is restored."""
        return 0

    async def stats(self) -> KernelStats:
        """What is known of a server from here."""
        context = self._model.context if self._model else 0
        return KernelStats(0, 0, 0, context, 0, (), 0, 0, self._rate)

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
