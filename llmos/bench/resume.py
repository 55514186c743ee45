"""``llmos bench resume``: coming back to a conversation from its KV state on disk, against prefill."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llmos.bench.figures import Figure, figure
from llmos.bench.random_gguf import B1, M135, write_random_gguf
from llmos.kernel.client import KernelClient
from llmos.kernel.protocol import Chunk, GenerateRequest, LoadRequest
from llmos.types import SamplingSettings

Say = Callable[[str], None]
_SHAPES = {"135M": M135, "1B": B1}


async def _greedy(kernel: KernelClient, prompt: list[int], sequence: str, most: int) -> tuple[list[int], float]:
    """Greedy continuation and seconds to its first token."""
    out: list[int] = []
    began, first = time.perf_counter(), 0.0
    request = GenerateRequest(
        prompt,
        sequence=sequence,
        max_tokens=most,
        sampling=SamplingSettings(temperature=0.0),
        bias={token: -1e9 for token in range(9)},
    )
    async for event in kernel.generate(request):
        if isinstance(event, Chunk):
            first = first or time.perf_counter() - began
            out += event.tokens
    return out, first


async def _shape(name: str, tokens: int, rounds: int, say: Say) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="llmos-resume-") as folder:
        say(f"writing random weights: {name}")
        path = write_random_gguf(Path(folder) / "m.gguf", _SHAPES[name], quantisation="Q8_0")
        state = Path(folder) / "state.kv"
        kernel = KernelClient()
        ratios: list[float] = []
        same = True
        try:
            info = await kernel.load(LoadRequest(path, context=tokens + 256, max_sequences=2))
            rng = random.Random(3)
            prompt = [rng.randrange(300, info.vocabulary) for _ in range(tokens)]
            for number in range(rounds):
                await kernel.drop("chat")
                uninterrupted, prefill = await _greedy(kernel, prompt, "chat", 24)
                size = await kernel.save_sequence("chat", state)
                await kernel.drop("chat")
                began = time.perf_counter()
                await kernel.restore_sequence("chat", state)
                loaded = time.perf_counter() - began
                resumed, first = await _greedy(kernel, prompt, "chat", 24)
                same = same and resumed == uninterrupted
                ratios.append(prefill / (loaded + first))
                say(f"{name}, round {number + 1}: {ratios[-1]:.0f} x, state {size / 1e6:.0f} MB")
        finally:
            await kernel.close()
    middle = sorted(ratios)[len(ratios) // 2]
    return [
        figure(f"prefill to resume, {tokens} tokens, {name}", middle, "ratio", ">=", 20),
        figure(f"greedy continuation identical, {name}", float(same), "yes", ">=", 1),
    ]


def run(
    shapes: str = "135M",
    tokens: int = 4000,
    rounds: int = 3,
    quick: bool = False,
    say: Say = lambda text: None,
    **_: Any,
) -> list[Figure]:
    """Run the benchmark.

    Args:
        shapes: random-weight shapes by comma: ``135M``, ``1B``.
        tokens: length of the conversation.
        rounds: repetitions; the median counts.
        quick: one round of 1,000 tokens.
        say: takes progress.
    """
    if quick:
        tokens, rounds = 1000, 1
    figures: list[Figure] = []
    for name in shapes.split(","):
        figures += asyncio.run(_shape(name, int(tokens), int(rounds), say))
    return figures
