"""Speed of the kernel against a bare llama_decode loop: same file, same threads, same run.

The two take turns in short rounds, so that whatever else the machine does falls on both: each
round of the kernel is divided by the mean of the bare rounds before and after it, and the ratio
is the median of these. The models have random weights, written once into a folder: speed does not depend on
what the weights say.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from llmos.bench.figures import Figure, figure
from llmos.bench.random_gguf import B1, M15, M135, Quantisation, Shape, write_random_gguf
from llmos.kernel.client import KernelClient
from llmos.kernel.library import child_environment
from llmos.kernel.protocol import Chunk, GenerateRequest, KernelError, LoadRequest, Prefilled
from llmos.kernel.scheduler import CHUNK_ALONE
from llmos.types import SamplingSettings

#: Metadata keys of the tokens that end an answer.
_ENDS = ("eos_token_id", "eot_token_id", "eom_token_id")

_PROMPT = 16


@dataclass(frozen=True, slots=True)
class Case:
    """A size to measure at."""

    shape: Shape
    quantisation: Quantisation
    tokens: int
    rounds: int
    target: float


CASES = (
    Case(M15, "Q8_0", 200, 15, 0.85),
    Case(M135, "Q8_0", 40, 13, 0.95),
    Case(B1, "Q4_0", 12, 9, 0.95),
)

Say = Callable[[str], None]


class BareLoop:
    """The yardstick process; see ``bare_loop``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def seconds(self, kind: str, first: int, second: int) -> float:
        """Seconds of one job."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{kind} {first} {second}\n".encode())
        return float(await self._process.stdout.readline())


@contextlib.asynccontextmanager
async def bare_loop(model: Path, threads: int, context: int) -> AsyncIterator[BareLoop]:
    """A yardstick process for a model; ended at the end of the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "llmos.bench.bare_loop",
        str(model),
        str(threads),
        str(context),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=child_environment(),
    )
    try:
        assert process.stdout is not None
        await process.stdout.readline()
        yield BareLoop(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _prompt(length: int) -> list[int]:
    return [20 + position % 200 for position in range(length)]


def _endless(kernel: KernelClient) -> dict[int, float]:
    """A bias under which an answer does not end by itself."""
    metadata = kernel.model.metadata if kernel.model else {}
    ends = {int(value) for key in _ENDS if (value := metadata.get(f"tokenizer.ggml.{key}", ""))}
    return dict.fromkeys({0, *ends}, -1e9)


async def _whole_path(kernel: KernelClient, tokens: int) -> float:
    """Tokens per second from the first to the last token, as the client sees them."""
    request = GenerateRequest(
        _prompt(_PROMPT),
        max_tokens=tokens,
        sampling=SamplingSettings(),
        bias=_endless(kernel),
        sequence="bench",
        keep=False,
    )
    count, first, last = 0, 0.0, 0.0
    async for event in kernel.generate(request):
        if isinstance(event, Chunk) and event.tokens:
            last = time.perf_counter()
            first = first or last
            count += len(event.tokens)
    if count < 2:
        raise KernelError("The model ends its answer at once; choose another one to measure.")
    return (count - 1) / max(last - first, 1e-9)


async def _speed(kernel: KernelClient, bare: BareLoop, case: Case) -> list[Figure]:
    await bare.seconds("decode", _PROMPT, case.tokens)
    await _whole_path(kernel, case.tokens)
    alone = [case.tokens / await bare.seconds("decode", _PROMPT, case.tokens)]
    whole, ratios = [], []
    for _ in range(case.rounds):
        whole.append(await _whole_path(kernel, case.tokens))
        alone.append(case.tokens / await bare.seconds("decode", _PROMPT, case.tokens))
        ratios.append(whole[-1] / statistics.mean(alone[-2:]))
    ratio = statistics.median(ratios)
    name = f"decode at {case.shape.name}"
    return [
        figure(f"{name}, whole path / bare loop", ratio, "ratio", ">=" if case.target else "", case.target),
        figure(f"{name}, whole path", statistics.median(whole), "tokens/s"),
        figure(f"{name}, bare loop", statistics.median(alone), "tokens/s"),
    ]


async def _first_token(
    kernel: KernelClient, bare: BareLoop, history: int = 2000, new: int = 64
) -> list[Figure]:
    """Time to the first token of a turn after a long history, against evaluating only the new tokens."""
    turns, evaluations = [], []
    base = _prompt(history)
    await bare.seconds("evaluate", history, new)
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
        evaluations.append(await bare.seconds("evaluate", history, new))
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


async def _stop(kernel: KernelClient, rounds: int = 6) -> list[Figure]:
    """How much is still evaluated after a stop, in prefill chunks and in tokens, and how long it takes."""
    chunks, tokens, milliseconds = [], [], []
    for attempt in range(rounds):
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
        quick: a third of the rounds.
        say: told what is being done.
    """
    figures: list[Figure] = []
    with contextlib.ExitStack() as stack:
        place = Path(folder or stack.enter_context(tempfile.TemporaryDirectory(prefix="llmos-bench-")))
        place.mkdir(parents=True, exist_ok=True)
        if model is not None:
            cases = (Case(Shape(model.stem, 0, 0, 1, 1, 0, 0), "Q8_0", 60, 9, 0.0),)
        if quick:
            cases = tuple(replace(case, rounds=max(1, case.rounds // 3)) for case in cases)
        for case in cases:
            file = model or place / f"random-{case.shape.name}-{case.quantisation}.gguf"
            if not file.exists():
                say(f"writing random weights of the {case.shape.name} shape")
                write_random_gguf(file, case.shape, quantisation=case.quantisation, template="")
            say(f"measuring {case.shape.name}")
            kernel = KernelClient()
            try:
                info = await kernel.load(LoadRequest(file, context=4096))
                async with bare_loop(file, info.threads, 4096) as bare:
                    figures += await _speed(kernel, bare, case)
                    figures.append(figure(f"threads at {case.shape.name}", info.threads, "threads"))
                    if case.shape == M135 or model is not None:
                        figures += await _first_token(kernel, bare)
                        figures += await _stop(kernel)
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
