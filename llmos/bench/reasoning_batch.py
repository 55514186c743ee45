"""What a batch of tries costs, and whether a slow model keeps the time: random weights of true shapes.

Eight tries from one prefix of 1,000 tokens are decoded together and one after the other; the prefix
is in the cache for both. Clock and processor time of the worker are told: on a busy machine only
the second says anything.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llmos.bench.figures import Figure, figure
from llmos.kernel.client import KernelClient
from llmos.kernel.protocol import GenerateRequest, LoadRequest
from llmos.types import AnswerNow, Message, SamplingSettings, TextDelta, ThinkingDelta, TurnRequest

_PREFIX, _NEW, _TRIES = 1000, 128, 8
#: Ids of the special tokens of a random model; forbidden, so that no try ends before its time.
_SPECIAL = {token: -1e9 for token in range(9)}
Say = Callable[[str], None]


def _processor_seconds(pid: int) -> float:
    import psutil

    used = psutil.Process(pid).cpu_times()
    return float(used.user + used.system)


async def _ratios(kernel: KernelClient, rounds: int, new: int, say: Say) -> tuple[list[float], list[float]]:
    """Together to apart, by the clock and by processor time, for each round."""
    assert kernel.model is not None
    rng = random.Random(2)
    prompt = [rng.randrange(300, kernel.model.vocabulary) for _ in range(_PREFIX)]

    async def decode(samples: int, tokens: int = new) -> tuple[float, float]:
        began, before = time.perf_counter(), _processor_seconds(kernel.pid)
        request = GenerateRequest(
            prompt,
            sequence="bench",
            max_tokens=tokens,
            sampling=SamplingSettings(temperature=1.0),
            samples=samples,
            bias=_SPECIAL,
        )
        async for _ in kernel.generate(request):
            pass
        return time.perf_counter() - began, _processor_seconds(kernel.pid) - before

    await decode(1, 2)  # the prefix is in the cache for both
    clock, processor = [], []
    for number in range(rounds):
        together = await decode(_TRIES)
        alone = [await decode(1) for _ in range(_TRIES)]
        clock.append(together[0] / sum(one[0] for one in alone))
        processor.append(together[1] / max(1e-9, sum(one[1] for one in alone)))
        say(
            f"round {number + 1}: {clock[-1]:.3f} by the clock, {processor[-1]:.3f} of processor time; "
            f"together {together[0]:.1f} s"
        )
    return clock, processor


async def _forks(kernel: KernelClient) -> int:
    """Cells that eight tries add to the prefix while they run: none of it is held twice."""
    assert kernel.model is not None
    for name in ("bench", "thought"):
        await kernel.drop(name)
    rng = random.Random(3)
    prompt = [rng.randrange(300, kernel.model.vocabulary) for _ in range(_PREFIX)]
    request = GenerateRequest(prompt, sequence="cells", max_tokens=4, samples=_TRIES, bias=_SPECIAL)
    most = 0
    async for event in kernel.generate(request):
        if type(event).__name__ == "Chunk":
            most = max(most, (await kernel.stats()).cells_used)
    await kernel.drop("cells")
    return most


async def _in_thought(kernel: KernelClient, seconds: float, say: Say) -> list[Figure]:
    """A model that is still in its first thought: when the time is up, and when the user wants the answer."""
    from llmos_reason.effort import Effort
    from llmos_reason.tries import Plan, think

    from llmos.conversation.generation import Generator
    from llmos.guard.clean import clean

    async def turn(allowed: float, stop_after: float = 0.0) -> tuple[float, float]:
        """(seconds to the end, from the stop to the first text)."""
        now = AnswerNow()
        options = {"answer_now": now, "prefix": "<think>\n"}
        request = TurnRequest(
            [Message("user", "Why?")],
            sampling=SamplingSettings(temperature=1.0),
            sequence="thought",
            options=options,
        )
        began, pressed, first = time.perf_counter(), 0.0, 0.0
        async for event in think(request, Generator(kernel, clean), Plan(Effort(allowed, True))):
            at = time.perf_counter()
            if isinstance(event, TextDelta) and not first:
                first = at
            if isinstance(event, ThinkingDelta) and stop_after and not pressed and at - began >= stop_after:
                pressed, now.requested = at, True
        return time.perf_counter() - began, first - (pressed or began)

    spent, _ = await turn(seconds)
    _, wait = await turn(60.0, stop_after=1.0)
    say(f"in mid-thought: {spent:.2f} s of {seconds:g}; text {wait:.2f} s after a stop")
    name = f"{seconds:g} s allowed, up in mid-thought (135M): spent to allowed"
    return [
        figure(name, spent / seconds, "ratio", "<=", 1.1),
        figure("stop in mid-thought to the first text (135M)", wait, "s", "<=", 1.0),
    ]


async def measure(shape: str, rounds: int, new: int, say: Say) -> list[Figure]:
    """One shape.

    Args:
        shape: ``135M`` or ``1B``.
        rounds: repetitions; the median counts.
        new: tokens of each try; ``128`` is what the target is about.
        say: takes progress.
    """
    from llmos.bench.random_gguf import B1, M135, write_random_gguf

    with tempfile.TemporaryDirectory(prefix="llmos-reasoning-") as folder:
        say(f"writing random weights: {shape}")
        path = write_random_gguf(Path(folder) / "m.gguf", {"135M": M135, "1B": B1}[shape], quantisation="Q8_0")
        kernel = KernelClient()
        figures: list[Figure] = []
        try:
            await kernel.load(LoadRequest(path, context=4096, max_sequences=12))
            if shape == "135M":
                figures += await _in_thought(kernel, 6.0, say)
            clock, processor = await _ratios(kernel, rounds, new, say)
            cells = await _forks(kernel)
        finally:
            await kernel.close()
    relation: Any = "<=" if shape == "135M" else ""
    name = f"{_TRIES} tries of {new} tokens together to one after the other, {shape}"
    return [
        figure(name, statistics.median(clock), "ratio", relation, 0.6),
        figure(f"{name}, processor time", statistics.median(processor), "ratio"),
        figure(f"cells of the prefix and {_TRIES} tries, {shape}", cells, "cells", "<=", _PREFIX + _TRIES * 8),
        *figures,
    ]
