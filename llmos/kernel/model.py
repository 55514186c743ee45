"""Everything the worker holds for one loaded model, and loading it step by step with its checks."""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from llmos.formats import CHAT_TEMPLATE, TURN_END, TURN_START
from llmos.kernel import gguf_header, health, memory, threads
from llmos.kernel.engine import BATCH, Engine
from llmos.kernel.families import family_of
from llmos.kernel.library import native
from llmos.kernel.protocol import KernelError, LoadRequest
from llmos.kernel.sequences import SequenceTable
from llmos.kernel.swap import SwapKey
from llmos.kernel.templates import PLAIN_TEMPLATE, special_names

#: Window and batch of the embedder: larger batches are slower, longer texts abort the process.
EMBEDDING_CONTEXT = 512


#: Tokens of batches by which threads are chosen: answers decoded together, a piece of a prompt.
_TRIED = (8, 64)

#: Pace (seconds a token) above which no batch is tried.
_SLOW_TOKEN = 0.02


def request_from(values: Mapping[str, Any]) -> LoadRequest:
    """A request as it came over the pipe; fields that this version does not know are left out."""
    known = {one.name for one in fields(LoadRequest)}
    found = {key: value for key, value in values.items() if key in known}
    return LoadRequest(**{**found, "path": Path(found["path"])})


@dataclass(slots=True)
class Loaded:
    """A model in memory.

    Attributes:
        info: fields of ``ModelInfo``.
        special: special-token names that content must not use as tokens.
        start: text of the start token, for templates.
        end: text of the end token.
        largest: largest context that memory and training allow.
        pooling: how the model's token vectors become one, see ``Embedder``.
        lora: fingerprint and scale of the adapter, or empty.
    """

    request: LoadRequest
    engine: Engine
    table: SequenceTable
    info: dict[str, Any]
    special: list[str]
    start: str
    end: str
    pooling: int = 0
    largest: int = 0
    seconds_per_token: float = 0.0
    lora: str = ""
    _build: str = field(default="", repr=False)

    def swap_key(self) -> SwapKey:
        """What a saved KV state of this model depends on."""
        return SwapKey(
            model=str(self.info["sha256_head"]),
            template=hashlib.sha256(str(self.info["chat_template"]).encode()).hexdigest()[:16],
            build=self._build,
            context=self.engine.context,
            kv_type=str(self.info["kv_type"]),
            lora=self.lora,
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """A file that was checked, and the memory that it will take.

    ``repack`` says whether there is room for llama.cpp's second, faster copy of the weights.
    """

    header: gguf_header.Header
    context: int
    kv_type: str
    batch: int
    takes: memory.Need
    repack: bool
    largest: int


def plan(request: LoadRequest, freed: int = 0) -> Plan:
    """Check a file and the memory, without loading anything.

    Args:
        request: what to load and how.
        freed: bytes that will be free when the present model is gone.

    Raises:
        KernelError: the file is none that can be loaded, or it does not fit.
    """
    header = gguf_header.read_header(request.path.expanduser())
    gguf_header.check_complete(header)
    batch = EMBEDDING_CONTEXT if request.embedding else BATCH
    at_hand = memory.available() + freed
    kv_type = _kv_type(request, header, at_hand, batch)
    context, takes = memory.choose_context(
        header,
        EMBEDDING_CONTEXT if request.embedding else request.context,
        kv_type=kv_type,
        memory=at_hand,
        batch=batch,
    )
    repack = takes.total + takes.weights + memory.RESERVE <= at_hand
    # A format that nobody named gives way to a larger context.
    formats = {kv_type, "f16"} if request.kv_type == "auto" else {kv_type}
    largest = max(memory.largest_context(header, at_hand, kv_type=one, batch=batch) for one in formats)
    trained = int(header.of_architecture("context_length", 0)) or largest
    return Plan(header, context, kv_type, batch, takes, repack, min(largest, trained))


def _kv_type(request: LoadRequest, header: gguf_header.Header, at_hand: int, batch: int) -> str:
    """The cache format that is loaded: the one asked for, or what suits the model and the machine."""
    if request.kv_type != "auto":
        return request.kv_type
    on_gpu = request.gpu_layers != 0 and bool(native().llama_supports_gpu_offload())
    # Windows of their own share no prefix, and a GPU's flash attention is the faster one.
    if on_gpu or request.embedding or request.own_windows:
        return "f16"
    return memory.choose_kv_type(header, request.context, memory=at_hand, batch=batch)


def load(request: LoadRequest, planned: Plan) -> Loaded:
    """Load a model and try it.

    Args:
        request: what to load and how.
        planned: what ``plan`` found for it.

    Raises:
        KernelError: llama.cpp does not take it, or its numbers are no numbers.
    """
    path = request.path.expanduser()
    try:
        engine = _engine(request, path, planned)
    except KernelError:
        if request.kv_type != "auto" or planned.kv_type == "f16":
            raise
        # Some architectures take no quantised keys, which only llama.cpp knows.
        takes = memory.need(planned.header, planned.context, batch=planned.batch)
        planned = replace(planned, kv_type="f16", takes=takes)
        engine = _engine(request, path, planned)
    try:
        return _finish(request, path, planned, engine)
    except BaseException:
        engine.close()
        raise


def _engine(request: LoadRequest, path: Path, planned: Plan) -> Engine:
    return Engine(
        path,
        context=planned.context,
        threads=request.threads or threads.cpu_limit(),
        gpu_layers=request.gpu_layers,
        kv_type=planned.kv_type,
        max_sequences=1 if request.embedding else request.max_sequences,
        batch=planned.batch,
        embedding=request.embedding,
        pooling=0 if request.embedding else -1,
        repack=planned.repack,
        own_windows=request.own_windows and not request.embedding,
    )


def _finish(request: LoadRequest, path: Path, planned: Plan, engine: Engine) -> Loaded:
    header, takes = planned.header, planned.takes
    used, pace = request.threads or threads.cpu_limit(), 0.0
    if request.embedding:
        # A query is short, and somebody waits while the program works on the same turn: threads that
        # must meet after every layer would wait for a processor that the program has.
        engine.set_threads(used, few=max(1, used // 2), many=used)
    else:
        health.check_model(engine)
        if not request.threads:
            used, pace = probe_threads(engine)
    metadata = dict(engine.metadata())
    control, defined = engine.special_tokens()
    template = metadata.get("tokenizer.chat_template", "")
    if not template:
        has_turns = {TURN_START, TURN_END} <= {*control, *defined}
        template = CHAT_TEMPLATE if has_turns else PLAIN_TEMPLATE
    start, end, _ = engine.start_and_end()
    parameters = engine.parameters()
    c = engine.handles[0]
    info: dict[str, Any] = {
        "name": metadata.get("general.name", path.stem),
        "path": str(path),
        "architecture": header.architecture,
        "parameters": parameters,
        "file_bytes": header.file_bytes,
        "vocabulary": engine.vocabulary,
        "context": engine.context,
        "trained_context": engine.trained_context,
        "embedding_width": engine.embedding_width,
        "layers": engine.layers,
        "threads": used,
        "quantisation": _quantisation(header),
        "chat_template": template,
        "tool_family": family_of(template).name,
        "kv_type": planned.kv_type,
        "memory": {"weights": takes.weights, "kv": takes.kv, "compute": takes.compute},
        "metadata": {key: value[:400] for key, value in metadata.items() if key != "tokenizer.chat_template"},
        "sha256_head": gguf_header.fingerprint(path),
    }
    return Loaded(
        request=request,
        engine=engine,
        table=SequenceTable(engine, engine.max_sequences),
        info=info,
        special=special_names(control, defined, template),
        start=engine.piece(start).decode("utf-8", "replace") if start >= 0 else "",
        end=engine.piece(end).decode("utf-8", "replace") if end >= 0 else "",
        largest=planned.largest,
        pooling=int(header.of_architecture("pooling_type", 0)),
        seconds_per_token=pace,
        _build=(c.llama_version() or b"").decode("ascii", "replace"),
    )


def _quantisation(header: gguf_header.Header) -> str:
    """Number format of the file, for example ``Q4_K_M``."""
    from gguf.constants import GGMLQuantizationType, LlamaFileType

    with contextlib.suppress(KeyError, ValueError, TypeError):
        return str(LlamaFileType(int(header.metadata["general.file_type"])).name).removeprefix("MOSTLY_")
    sizes: dict[int, int] = {}
    for tensor in header.tensors:
        sizes[tensor.type] = sizes.get(tensor.type, 0) + tensor.elements
    try:
        return str(GGMLQuantizationType(max(sizes, key=lambda kind: sizes[kind])).name)
    except ValueError:
        return "unknown"


def probe_threads(engine: Engine) -> tuple[int, float]:
    """Fastest thread counts of this model, for one token and for batches; empties the last KV sequence.

    One token waits for memory and for threads to meet, a batch for the processor: on two cores one
    thread may be best for the first and two for the second.

    Returns:
        (threads for one token, seconds per token).

    Raises:
        KernelError: a decode failed.
    """
    sequence = engine.max_sequences - 1
    position = 0

    def decode(count: int, tokens: int = 1) -> None:
        nonlocal position
        engine.set_threads(count)
        if tokens > 1:
            tokens = min(tokens, engine.batch_size, engine.context // 2)
            engine.remove(sequence)
            position = 0
        rows = [(0, position + at, sequence, at == tokens - 1) for at in range(tokens)]
        if engine.decode(rows):
            raise KernelError("The KV cache has no room for the thread probe.")
        engine.logits(tokens - 1)
        position += tokens

    try:
        fastest, pace = threads.probe(decode)
        few = many = threads.cpu_limit()
        if pace < _SLOW_TOKEN:  # a batch of a larger model is worth every processor, and slow to try out
            few, many = (
                threads.probe(functools.partial(decode, tokens=n), tokens=n, budget=0.3)[0] for n in _TRIED
            )
    finally:
        engine.remove(sequence)
    engine.set_threads(fastest, few, many)
    return fastest, pace
