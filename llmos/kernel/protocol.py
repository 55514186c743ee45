"""The kernel as the rest of the program sees it.

``Kernel`` is implemented by the client of the local worker process and by the remote kernel
over an OpenAI-compatible server. All calls are coroutines on one asyncio loop. What a kernel
cannot do raises ``NotAvailable`` with a sentence for the user.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from llmos.types import Message, SamplingSettings, StopReason, ToolCall, ToolSpec, UserError

Priority = Literal["person", "background"]

#: Formats of the KV cache, see ``cache_format``; auto: what suits the model and the machine.
KvType = Literal["auto", "f16", "q8_0", "q8_0/f16"]


class KernelError(UserError):
    """The kernel refused or failed; the text is a sentence for the user."""


class NotAvailable(KernelError):
    """This kernel cannot do that (for example logits on a remote one)."""


class KernelDied(KernelError):
    """The worker process died in mid-call; the client has started another."""


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """Which model to load and how; zeros let the kernel choose.

    Attributes:
        own_windows: give every sequence a window of its own, ``context / max_sequences`` tokens long,
            instead of one window that all share. Many short answers at once are written faster so,
            because none looks past the others' tokens; a long conversation needs the shared one.
    """

    path: Path
    context: int = 0
    threads: int = 0
    gpu_layers: int = -1
    kv_type: KvType = "auto"
    embedding: bool = False
    max_sequences: int = 10
    own_windows: bool = False


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What was loaded."""

    name: str
    path: str
    architecture: str
    parameters: int
    file_bytes: int
    vocabulary: int
    context: int
    trained_context: int
    embedding_width: int
    layers: int
    threads: int
    quantisation: str
    chat_template: str
    tool_family: str
    memory: Mapping[str, int] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    sha256_head: str = ""
    kv_type: str = "f16"


@dataclass(frozen=True, slots=True)
class Rendered:
    """A chat as the model reads it.

    Attributes:
        text: rendered template.
        tokens: its token ids; what users and data wrote is never read as special tokens.
        stop: texts that end the answer, for models without end-of-turn tokens; pass them on.
    """

    text: str
    tokens: tuple[int, ...]
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """One generation.

    Attributes:
        sequence: name of the KV sequence; the cached prefix that agrees with the prompt is reused.
        prompt: token ids (from ``render_chat`` or ``tokenize``).
        max_tokens: most new tokens; None: what fits the window.
        stop: texts that end the answer and are not part of it.
        grammar: GBNF; empty for none.
        grammar_trigger: text after which the grammar begins to hold; empty: from the start.
        samples: how many answers to decode together, forked from the shared prefix.
        logprobs: how many alternatives to report per token; 0 for none.
        keep: keep the sequence's KV for the next turn; else freed at the end.
        bias: token id to a logit added to it.
        stream: send text as it is written; else each sample's text comes in one piece at its end,
            which spares the work of many small messages.
    """

    prompt: Sequence[int]
    sequence: str = "main"
    max_tokens: int | None = None
    sampling: SamplingSettings = SamplingSettings()
    stop: Sequence[str] = ()
    grammar: str = ""
    grammar_trigger: str = ""
    samples: int = 1
    logprobs: int = 0
    priority: Priority = "person"
    keep: bool = True
    bias: Mapping[int, float] = field(default_factory=dict)
    stream: bool = True


@dataclass(frozen=True, slots=True)
class TokenProbability:
    """One candidate for the next token."""

    token: int
    text: str
    probability: float
    logit: float = 0.0


@dataclass(frozen=True, slots=True)
class TracedToken:
    """The distribution at one place of a text.

    Attributes:
        token: what stands there; -1 after the end of the text.
        logprob: natural log of its probability, 0.0 after the end.
        entropy: Shannon entropy of the whole distribution at that place, in nats.
        alternatives: the likeliest tokens there, best first; empty unless asked for.
    """

    token: int
    logprob: float
    entropy: float
    alternatives: tuple[TokenProbability, ...] = ()


@dataclass(frozen=True, slots=True)
class VectorRequest:
    """Vectors in the place of tokens, where a picture enters a model.

    Attributes:
        before: token ids ahead of the vectors, at least one.
        vectors: numpy float32 [candidates, vectors, width of the model].
        after: token ids behind them, at least one.
        target: token ids whose probability behind all that is asked for.
        most: likeliest tokens to write behind it, 0 for none.
    """

    before: Sequence[int]
    vectors: Any
    after: Sequence[int]
    target: Sequence[int] = ()
    most: int = 0


@dataclass(frozen=True, slots=True)
class VectorScore:
    """What one candidate did: natural log of each target token's probability, and what was written."""

    logprobs: tuple[float, ...]
    written: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class CutText:
    """A text cut by some file's tokenizer.

    Attributes:
        tokens: ids.
        pieces: bytes of each; WordPiece lowers letters and may add a space before a word.
        vocabulary: its size.
        kind: as the file says: ``gpt2`` (byte BPE), ``llama`` (SentencePiece), ``bert`` (WordPiece) …
    """

    tokens: tuple[int, ...]
    pieces: tuple[bytes, ...]
    vocabulary: int
    kind: str


@dataclass(frozen=True, slots=True)
class Prefilled:
    """Progress of prompt evaluation; ``cached`` tokens were in the KV cache already."""

    done: int
    total: int
    cached: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """New text of one sample; special tokens such as ``<think>`` appear as text.

    Attributes:
        sample: index of the sample, 0 when there is only one.
        text: whole characters only (a split UTF-8 letter waits for its rest).
        tokens: the ids behind it.
        logprobs: for each token, natural log of its probability; empty unless asked for.
        alternatives: for each token the likeliest candidates; empty unless asked for.
    """

    text: str
    tokens: tuple[int, ...] = ()
    sample: int = 0
    logprobs: tuple[float, ...] = ()
    alternatives: tuple[tuple[TokenProbability, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of one sample."""

    stop_reason: StopReason
    sample: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    first_token_seconds: float = 0.0
    tokens_per_second: float = 0.0
    mean_logprob: float = 0.0


GenerateEvent = Prefilled | Chunk | Finished


@dataclass(frozen=True, slots=True)
class ParsedAnswer:
    """A raw answer taken apart by the model family's parser."""

    content: str
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class SequenceInfo:
    """What a KV sequence holds."""

    name: str
    tokens: int
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class KernelStats:
    """The kernel now."""

    pid: int
    resident_bytes: int
    threads: int
    context: int
    cells_used: int
    sequences: tuple[SequenceInfo, ...]
    running: int
    waiting: int
    tokens_per_second: float
    restarts: int = 0


class Kernel(Protocol):
    """Load a model, turn text into tokens and back, generate, look inside."""

    @property
    def model(self) -> ModelInfo | None:
        """The loaded model; None before ``load``."""
        ...

    async def load(self, request: LoadRequest) -> ModelInfo:
        """Load a model, replacing the present one.

        Raises:
            KernelError: missing, damaged or unsupported file, or not enough memory (with numbers).
        """
        ...

    async def tokenize(self, text: str, *, special: bool = False, bos: bool = False) -> list[int]:
        """Token ids of a text; ``special`` reads special tokens, ``bos`` puts the model's start token first."""
        ...

    async def detokenize(self, tokens: Sequence[int], *, special: bool = True) -> str:
        """Text of token ids; broken UTF-8 becomes U+FFFD."""
        ...

    async def pieces(self, tokens: Sequence[int]) -> list[bytes]:
        """The bytes of each token, special tokens by their names."""
        ...

    async def render_chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec] = (),
        *,
        add_generation_prompt: bool = True,
    ) -> Rendered:
        """Render by the model's own chat template, in a sandbox and under a deadline."""
        ...

    async def tool_grammar(self, tools: Sequence[ToolSpec]) -> tuple[str, str]:
        """(GBNF, trigger text) that keeps tool calls of the model's family well-formed."""
        ...

    def parse_answer(self, text: str) -> ParsedAnswer:
        """Take a raw answer apart: thoughts, tool calls, visible text."""
        ...

    def generate(self, request: GenerateRequest) -> AsyncIterator[GenerateEvent]:
        """Generate; closing the iterator (or cancelling) stops within one token or prefill chunk.

        Raises:
            KernelDied: the worker died; what came before it stands.
            KernelError: prompt longer than the window, bad grammar and so on.
        """
        ...

    async def next_tokens(
        self, tokens: Sequence[int], *, top: int = 50, sampling: SamplingSettings | None = None
    ) -> list[TokenProbability]:
        """Distribution after the given tokens: plain softmax, or as the sampler chain leaves it."""
        ...

    async def score(self, tokens: Sequence[int], *, start: int = 1) -> list[float]:
        """Natural log of each token's probability given those before it; 0.0 before ``start``.

        A later ``start`` spares the work of the places before it, and takes them from the cache.
        """
        ...

    async def trace(self, tokens: Sequence[int], *, start: int = 1, top: int = 0) -> list[TracedToken]:
        """The distribution at every place from ``start`` on, and after the end: len(tokens) - start + 1."""
        ...

    async def vectors(self, request: VectorRequest) -> list[VectorScore]:
        """Put vectors in the place of tokens; one result for each candidate.

        Raises:
            KernelError: sizes that do not fit, values that are no finite numbers; ``NotAvailable``
                where the architecture takes none.
        """
        ...

    async def tokenize_with(self, path: Path, text: str) -> CutText:
        """Cut a text by another file's tokenizer; only its vocabulary is loaded.

        Raises:
            KernelError: no such file, or it holds no tokenizer.
        """
        ...

    async def fork(self, source: str, target: str) -> None:
        """Make ``target`` share what ``source`` holds in the KV cache."""
        ...

    async def drop(self, sequence: str) -> None:
        """Free a sequence's KV."""
        ...

    async def save_sequence(self, sequence: str, path: Path) -> int:
        """Write a sequence's KV state atomically; returns bytes written."""
        ...

    async def restore_sequence(self, sequence: str, path: Path) -> int:
        """Restore a saved KV state; returns tokens restored, 0 when stale or damaged (never trusted)."""
        ...

    async def embed(self, texts: Sequence[str], *, hidden: bool = False) -> list[list[float]]:
        """Vectors of texts (a kernel loaded with ``embedding``): pooled and normalised.

        With ``hidden`` the raw last hidden state of the last token instead (reward head).
        """
        ...

    async def set_lora(self, path: Path | None, scale: float = 1.0) -> None:
        """Lay a LoRA adapter over the model, or take it off; KV caches are cleared."""
        ...

    async def inspect(
        self, tokens: Sequence[int], what: Literal["attention", "layers"], layer: int = -1
    ) -> Any:
        """Inside the forward pass, as numpy arrays.

        ``attention``: [heads, tokens, tokens] of one layer; ``layers``: [layers, tokens, width].
        """
        ...

    async def stats(self) -> KernelStats:
        """Memory, sequences and load of the kernel now."""
        ...

    async def close(self) -> None:
        """End the worker process."""
        ...
