"""Speed of the kernel against a bare llama_decode loop: same process, same context, same threads.

The two take turns in short rounds on one loaded model, so that whatever else the machine does falls
on both, and so does where the weights lie in memory. Only decode steps count: from the first to the
last token as the client sees them. Each round of the kernel is divided by the mean of the bare
rounds before and after it, and the ratio is the median of these. The models have random weights,
written once into a folder: speed does not depend on what the weights say.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from llmos.bench.figures import Figure, figure
from llmos.bench.measured_kernel import MeasuredKernel, Times
from llmos.bench.random_gguf import B1, M15, M135, Quantisation, Shape, write_random_gguf
from llmos.kernel.client import KernelClient
from llmos.kernel.prefill import CHUNK_ALONE
from llmos.kernel.protocol import Chunk, GenerateRequest, KernelError, LoadRequest, Prefilled
from llmos.types import SamplingSettings

#: Metadata keys of the tokens that end an answer.
_ENDS = ("eos_token_id", "eot_token_id", "eom_token_id")

_PROMPT = 16
_TRIES = 10


@dataclass(frozen=True, slots=True)
class Case:
    """A size to measure at."""

    shape: Shape
    quantisation: Quantisation
    tokens: int
    rounds: int
    target: float


CASES = (
    Case(M15, "Q8_0", 120, 30, 0.85),
    Case(M135, "Q8_0", 30, 30, 0.95),
    Case(B1, "Q4_0", 10, 24, 0.95),
)

Say = Callable[[str], None]


def _prompt(length: int) -> list[int]:
    return [20 + position % 200 for position in range(length)]


def _endless(kernel: KernelClient) -> dict[int, float]:
    """A bias under which an answer does not end by itself."""
    metadata = kernel.model.metadata if kernel.model else {}
    ends = {int(value) for key in _ENDS if (value := metadata.get(f"tokenizer.ggml.{key}", ""))}
    return dict.fromkeys({0, *ends}, -1e9)


@dataclass(frozen=True, slots=True)
class _Round:
    """One answer: tokens a second and processor seconds of this process a token, from the first token on."""

    rate: float
    client: float
    times: Times


async def _whole_path(kernel: MeasuredKernel, tokens: int, bias: dict[int, float]) -> _Round:
    """One answer of this length, as the client sees it.

    Random weights may end one sooner; one that has not even two tokens is asked for again.
    """
    request = GenerateRequest(
        _prompt(_PROMPT),
        max_tokens=tokens + 1,
        sampling=SamplingSettings(),
        bias=bias,
        sequence="bench",
        keep=False,
    )
    for _ in range(_TRIES):
        count, first, last = 0, (0.0, 0.0), (0.0, 0.0)
        await kernel.times()
        async for event in kernel.generate(request):
            if isinstance(event, Chunk) and event.tokens:
                last = (time.perf_counter(), time.process_time())
                first = last if not count else first
                count += len(event.tokens)
        if count > 1 and last > first:
            break
    else:
        raise KernelError("The model ends its answer at once; choose another one to measure.")
    rate = (count - 1) / (last[0] - first[0])
    return _Round(rate, (last[1] - first[1]) / (count - 1), await kernel.times())


async def _speed(kernel: MeasuredKernel, case: Case, say: Say) -> list[Figure]:
    tokens, name = case.tokens, f"decode at {case.shape.name}"
    # Random weights hardly ever end an answer; a bias is nothing that an ordinary answer has.
    bias = {} if case.target else _endless(kernel)
    await kernel.bare_decode(_PROMPT, tokens)
    await _whole_path(kernel, tokens, bias)
    bare = [await kernel.bare_decode(_PROMPT, tokens)]
    rounds: list[_Round] = []
    ratios: list[float] = []
    for number in range(case.rounds):
        rounds.append(await _whole_path(kernel, tokens, bias))
        bare.append(await kernel.bare_decode(_PROMPT, tokens))
        ratios.append(rounds[-1].rate * statistics.mean(seconds for seconds, _ in bare[-2:]) / tokens)
        say(f"{case.shape.name}, round {number + 1} of {case.rounds}: {ratios[-1]:.3f} of the bare loop")
    await kernel.detail(True)
    parts = [await _whole_path(kernel, tokens, bias) for _ in range(max(1, case.rounds // 4))]
    await kernel.detail(False)
    processor = 1000 * statistics.median(spent for _, spent in bare) / tokens
    spent = statistics.median(one.times.processor for one in rounds)
    return [
        figure(
            f"{name}, whole path / bare loop",
            statistics.median(ratios),
            "ratio",
            ">=" if case.target else "",
            case.target,
        ),
        figure(f"{name}, bare loop / whole path, processor time of the worker", processor / spent, "ratio"),
        figure(f"{name}, whole path", statistics.median(one.rate for one in rounds), "tokens/s"),
        figure(f"{name}, bare loop", tokens / statistics.median(seconds for seconds, _ in bare), "tokens/s"),
        *_where(name, rounds, parts),
    ]


def _where(name: str, rounds: list[_Round], parts: list[_Round]) -> list[Figure]:
    """Where the time of a token goes; ``parts`` are rounds in which it was booked in detail."""

    def middle(of: list[_Round], value: Callable[[_Round], float], part: str) -> Figure:
        return figure(f"{name}, a token: {part}", statistics.median(value(one) for one in of), "ms")

    return [
        middle(parts, lambda one: one.times.forward, "forward pass"),
        middle(parts, lambda one: one.times.sampling, "sampling"),
        middle(parts, lambda one: one.times.text, "token to text"),
        middle(parts, lambda one: one.times.pipe, "pipe"),
        middle(parts, lambda one: one.times.scheduler + one.times.between, "scheduler"),
        middle(rounds, lambda one: one.times.processor, "worker, processor"),
        middle(rounds, lambda one: 1000 * one.client, "client, processor"),
    ]


async def _first_token(kernel: MeasuredKernel, say: Say, history: int = 2000, new: int = 64) -> list[Figure]:
    """Time to the first token of a turn after a long history, against evaluating only the new tokens."""
    turns, evaluations = [], []
    base = _prompt(history)
    say(f"first token after {history:,} tokens of history: reading them")
    for turn in range(6):
        before = GenerateRequest(base, max_tokens=1, bias=_endless(kernel), sequence="history")
        async for _ in kernel.generate(before):
            pass
        tail = [20 + (7 * turn + position) % 200 for position in range(new)]
        request = GenerateRequest([*base, *tail], max_tokens=8, bias=_endless(kernel), sequence="history")
        start = time.perf_counter()
        stream = kernel.generate(request)
        async for event in stream:
            if isinstance(event, Chunk):
                turns.append(time.perf_counter() - start)
                break
        await stream.aclose()  # type: ignore[attr-defined]
        while (await kernel.stats()).running:
            await asyncio.sleep(0.001)
        evaluations.append(await kernel.bare_evaluate("history", history, new))
    ratio = statistics.median(turns[1:]) / statistics.median(evaluations[1:])
    return [
        figure(
            f"first token after {history:,} tokens of history / evaluating {new} new ones",
            ratio,
            "ratio",
            "<=",
            1.2,
        ),
        figure("first token after history", 1000 * statistics.median(turns[1:]), "ms"),
    ]


async def _held(kernel: KernelClient, sequence: str) -> int:
    """Tokens in a sequence's cache once nothing runs any more."""
    while (stats := await kernel.stats()).running:
        await asyncio.sleep(0.001)
    return next((one.tokens for one in stats.sequences if one.name == sequence), 0)


async def _stop(kernel: KernelClient, say: Say, rounds: int = 6) -> list[Figure]:
    """How much is still evaluated after a stop, in prefill chunks and in tokens, and how long it takes."""
    chunks, tokens, milliseconds = [], [], []
    for attempt in range(rounds):
        say(f"stop, round {attempt + 1} of {rounds}")
        prompt = [20 + (attempt * 31 + position * 3) % 200 for position in range(1500)]
        stream = kernel.generate(GenerateRequest(prompt, sequence="stop"))
        done = 0
        async for event in stream:
            if isinstance(event, Prefilled) and event.done > 300:
                done = event.done
                break
        start = time.perf_counter()
        await stream.aclose()  # type: ignore[attr-defined]
        chunks.append((await _held(kernel, "stop") - done) / CHUNK_ALONE)
        milliseconds.append(1000 * (time.perf_counter() - start))
        await kernel.drop("stop")
        stream = kernel.generate(GenerateRequest(prompt[:_PROMPT], bias=_endless(kernel), sequence="stop"))
        seen = 0
        async for event in stream:
            seen += len(event.tokens) if isinstance(event, Chunk) else 0
            if seen >= 10:
                break
        await stream.aclose()  # type: ignore[attr-defined]
        tokens.append(await _held(kernel, "stop") - (_PROMPT + seen - 1))
        await kernel.drop("stop")
    return [
        figure("evaluated after a stop while a prompt is read", statistics.median(chunks), "chunks", "<=", 1),
        figure(
            "evaluated after a stop while an answer is written", statistics.median(tokens), "tokens", "<=", 1
        ),
        figure(
            "time until a stop while a prompt is read has taken effect", statistics.median(milliseconds), "ms"
        ),
    ]


async def measure(
    model: Path | None = None,
    *,
    folder: Path | None = None,
    cases: tuple[Case, ...] = CASES,
    quick: bool = False,
    say: Say = lambda _text: None,
) -> list[Figure]:
    """All figures.

    Args:
        model: measure on this file instead of the random-weight ones (without a target).
        folder: where the random-weight files are kept between runs; None throws them away.
        cases: sizes.
        quick: a quarter of the rounds.
        say: told what is being done.
    """
    figures: list[Figure] = []
    with contextlib.ExitStack() as stack:
        place = Path(folder or stack.enter_context(tempfile.TemporaryDirectory(prefix="llmos-bench-")))
        place.mkdir(parents=True, exist_ok=True)
        if model is not None:
            cases = (Case(Shape(model.stem, 0, 0, 1, 1, 0, 0), "Q8_0", 60, 9, 0.0),)
        if quick:
            cases = tuple(replace(case, rounds=max(1, case.rounds // 4)) for case in cases)
        for case in cases:
            file = model or place / f"random-{case.shape.name}-{case.quantisation}.gguf"
            if not file.exists():
                say(f"writing random weights of the {case.shape.name} shape")
                write_random_gguf(file, case.shape, quantisation=case.quantisation, template="")
            say(f"loading {case.shape.name}")
            kernel = MeasuredKernel()
            try:
                info = await kernel.load(LoadRequest(file, context=4096))
                figures += await _speed(kernel, case, say)
                figures.append(figure(f"threads at {case.shape.name}", info.threads, "threads"))
                if case.shape == M135 or model is not None:
                    figures += await _first_token(kernel, say)
                    figures += await _stop(kernel, say)
            finally:
                await kernel.close()
    return figures


def run(
    model: Path | None = None,
    *,
    folder: Path | None = None,
    quick: bool = False,
    say: Say = lambda _text: None,
) -> list[Figure]:
    """``measure`` for callers without an event loop (the command line)."""
    return asyncio.run(measure(model, folder=folder, quick=quick, say=say))
