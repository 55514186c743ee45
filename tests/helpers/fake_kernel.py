"""A scripted kernel: deterministic, quick, and true to the contract of ``llmos.kernel.protocol``.

Tokens are words with the blanks before them, so lengths can be foreseen. It keeps a KV cache per
sequence as token lists, so cached and evaluated tokens are real counts.

    kernel = FakeKernel(["Hello.", Script("<think>hm</think>Yes.", die_after=2)])
    await kernel.load(LoadRequest(Path("fake.gguf")))
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from llmos.formats import CHAT_TEMPLATE, SPECIAL_TOKENS, TOOL_CALL_OPEN
from llmos.kernel.families import family_named
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
    SequenceInfo,
    TokenProbability,
)
from llmos.types import Message, SamplingSettings, StopReason, ToolSpec

_PIECE = re.compile("|".join(re.escape(token) for token in SPECIAL_TOKENS) + r"|\n|[^\S\n]*[^\s<]+|\s|<")

Reply = "str | Script | Callable[[GenerateRequest, str], str | Script]"


@dataclass
class Script:
    """One answer.

    Attributes:
        text: raw answer, with ``<think>`` and ``<tool_call>`` where wanted.
        die_after: the kernel dies after so many tokens.
        error: raised as ``KernelError`` instead of an answer.
        pause: seconds between tokens.
        wait: awaited before every token, for tests that decide when it goes on.
    """

    text: str = ""
    die_after: int | None = None
    error: str = ""
    pause: float = 0.0
    wait: Callable[[], Any] | None = None


@dataclass
class FakeKernel:
    """Answers by script; without one it repeats the user's last line.

    Attributes:
        script: answers in the order in which they are asked for; functions get (request, prompt).
        context: window in tokens.
        requests: every generation asked for.
        prompts: their rendered texts.
    """

    script: list[Any] = field(default_factory=list)
    context: int = 2_048
    parameters: int = 3_000_000
    name: str = "fake"
    loaded: bool = True
    load_seconds: float = 0.0
    requests: list[GenerateRequest] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    evaluated: int = 0
    restarts: int = 0
    closed: bool = False

    def __post_init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._words: list[str] = []
        self._cache: dict[str, list[int]] = {}
        self._model: ModelInfo | None = None
        for token in SPECIAL_TOKENS:
            self._id(token)
        if self.loaded:
            self._model = self._info(Path(f"{self.name}.gguf"))

    def _info(self, path: Path) -> ModelInfo:
        return ModelInfo(
            name=path.stem,
            path=str(path),
            architecture="llama",
            parameters=self.parameters,
            file_bytes=1,
            vocabulary=32_000,
            context=self.context,
            trained_context=self.context,
            embedding_width=64,
            layers=2,
            threads=1,
            quantisation="Q8_0",
            chat_template=CHAT_TEMPLATE,
            tool_family="hermes",
        )

    def _id(self, piece: str) -> int:
        if piece not in self._ids:
            self._ids[piece] = len(self._words)
            self._words.append(piece)
        return self._ids[piece]

    @property
    def model(self) -> ModelInfo | None:
        return self._model

    async def load(self, request: LoadRequest) -> ModelInfo:
        if self.load_seconds:
            await asyncio.sleep(self.load_seconds)
        self.context = request.context or self.context
        self._cache.clear()
        self._model = self._info(request.path)
        return self._model

    async def tokenize(self, text: str, *, special: bool = False, bos: bool = False) -> list[int]:
        return [self._id(piece) for piece in _PIECE.findall(text)]

    async def detokenize(self, tokens: Sequence[int], *, special: bool = True) -> str:
        return "".join(self._words[token] for token in tokens)

    async def pieces(self, tokens: Sequence[int]) -> list[bytes]:
        return [self._words[token].encode() for token in tokens]

    async def render_chat(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec] = (), *, add_generation_prompt: bool = True
    ) -> Rendered:
        parts = []
        for place, message in enumerate(messages):
            text = message.content
            if place == 0 and tools:
                text += "\nTools: " + " ".join(tool.name for tool in tools)
            for call in message.tool_calls:
                body = json.dumps({"name": call.name, "arguments": dict(call.arguments)})
                text += f"<tool_call>{body}</tool_call>"
            if message.role == "tool":
                text = f"<tool_response>\n{text}\n</tool_response>"
            parts.append(f"<|im_start|>{message.role}\n{text}<|im_end|>\n")
        if add_generation_prompt:
            parts.append("<|im_start|>assistant\n")
        text = "".join(parts)
        return Rendered(text, tuple(await self.tokenize(text, special=True)))

    async def tool_grammar(self, tools: Sequence[ToolSpec]) -> tuple[str, str]:
        return "root ::= .*", TOOL_CALL_OPEN

    def parse_answer(self, text: str) -> ParsedAnswer:
        return family_named("hermes").parse(text)

    async def generate(self, request: GenerateRequest) -> AsyncIterator[GenerateEvent]:
        if self._model is None:
            raise KernelError("No model is loaded.")
        if len(request.prompt) >= self.context:
            raise KernelError(f"The prompt has {len(request.prompt)} tokens, the window {self.context}.")
        prompt = await self.detokenize(request.prompt)
        self.requests.append(request)
        self.prompts.append(prompt)
        script = self._next(request, prompt)
        if script.error:
            raise KernelError(script.error)
        cached = self._common(request.sequence, request.prompt)
        self.evaluated += len(request.prompt) - cached
        yield Prefilled(len(request.prompt), len(request.prompt), cached)
        for sample in range(request.samples):
            made: list[int] = []
            stop: StopReason = "stop"
            room = self.context - len(request.prompt)
            most = min(room, request.max_tokens) if request.max_tokens else room
            for token in await self.tokenize(script.text, special=True):
                if script.die_after is not None and len(made) >= script.die_after:
                    self._cache.clear()
                    self.restarts += 1
                    raise KernelDied("The kernel died while it was answering; it is being started again.")
                if len(made) >= most:
                    stop = "length"
                    break
                if script.wait is not None:
                    await script.wait()
                await asyncio.sleep(script.pause)
                made.append(token)
                yield Chunk(self._words[token], (token,), sample)
            self._cache[request.sequence] = [*request.prompt, *made]
            yield Finished(stop, sample, len(request.prompt), cached, len(made), 0.01, 0.001, 100.0, -0.5)

    def _next(self, request: GenerateRequest, prompt: str) -> Script:
        if not self.script:
            last = prompt.rpartition("<|im_start|>user\n")[2].partition("<|im_end|>")[0]
            return Script(f"You said: {last.splitlines()[-1] if last else ''}")
        reply = self.script.pop(0)
        if callable(reply):
            reply = reply(request, prompt)
        return reply if isinstance(reply, Script) else Script(str(reply))

    def _common(self, sequence: str, prompt: Sequence[int]) -> int:
        held = self._cache.get(sequence, [])
        count = 0
        for mine, theirs in zip(held, prompt, strict=False):
            if mine != theirs:
                break
            count += 1
        return count

    async def next_tokens(
        self, tokens: Sequence[int], *, top: int = 50, sampling: SamplingSettings | None = None
    ) -> list[TokenProbability]:
        share = 1 / min(top, len(self._words))
        return [TokenProbability(i, word, share) for i, word in enumerate(self._words[:top])]

    async def score(self, tokens: Sequence[int], *, start: int = 1) -> list[float]:
        return [0.0, *(-1.0 for _ in tokens[1:])]

    async def fork(self, source: str, target: str) -> None:
        self._cache[target] = list(self._cache.get(source, []))

    async def drop(self, sequence: str) -> None:
        self._cache.pop(sequence, None)

    async def save_sequence(self, sequence: str, path: Path) -> int:
        path.write_text(json.dumps([self._words[token] for token in self._cache[sequence]]))
        return path.stat().st_size

    async def restore_sequence(self, sequence: str, path: Path) -> int:
        try:
            words = json.loads(path.read_text())
        except ValueError:
            return 0
        self._cache[sequence] = [self._id(word) for word in words]
        return len(words)

    async def embed(self, texts: Sequence[str], *, hidden: bool = False) -> list[list[float]]:
        return [[float(len(text) % 7), 1.0] for text in texts]

    async def set_lora(self, path: Path | None, scale: float = 1.0) -> None:
        self._cache.clear()

    async def inspect(
        self, tokens: Sequence[int], what: Literal["attention", "layers"], layer: int = -1
    ) -> Any:
        raise NotAvailable("The scripted kernel has no layers.")

    async def stats(self) -> KernelStats:
        sequences = tuple(SequenceInfo(name, len(held)) for name, held in self._cache.items())
        return KernelStats(0, 0, 1, self.context, 0, sequences, 0, 0, 100.0, self.restarts)

    async def close(self) -> None:
        self.closed = True
