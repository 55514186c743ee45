"""After an eviction every model takes the exact path: the answer is that of a fresh evaluation.

Nothing is shifted in the cache. A transformer keeps the prefix before the first page that left; a
recurrent model, which can neither shift nor forget a part, begins anew.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from llmos.bench.random_gguf import write_random_gguf
from llmos.kernel.client import KernelClient
from llmos.kernel.protocol import Chunk, GenerateRequest, KvType, LoadRequest, Prefilled
from llmos.types import SamplingSettings
from tests.helpers.recurrent_gguf import write_random_mamba

KEPT, EVICTED, TAIL = 40, 80, 60


async def greedy(kernel: KernelClient, prompt: list[int], sequence: str) -> tuple[list[int], int]:
    """(the next tokens, how many of the prompt's were cached)."""
    out: list[int] = []
    cached = 0
    request = GenerateRequest(
        prompt,
        sequence=sequence,
        max_tokens=12,
        sampling=SamplingSettings(temperature=0.0),
        bias={token: -1e9 for token in range(9)},
    )
    async for event in kernel.generate(request):
        if isinstance(event, Chunk):
            out += event.tokens
        elif isinstance(event, Prefilled):
            cached = event.cached
    return out, cached


@pytest.mark.parametrize(
    ("make", "kv_type"),
    [(write_random_gguf, "f16"), (write_random_gguf, "q8_0/f16"), (write_random_mamba, "f16")],
    ids=["transformer", "quantised keys", "recurrent"],
)
async def test_an_eviction_changes_nothing_but_what_is_read(
    make: Callable[[Path], Path], kv_type: KvType, tmp_path: Path
) -> None:
    kernel = KernelClient(log=tmp_path / "kernel.log")
    try:
        info = await kernel.load(LoadRequest(make(tmp_path / "m.gguf"), 512, 1, kv_type=kv_type))
        recurrent = info.architecture == "mamba"
        draw = random.Random(5)
        whole = [draw.randrange(300, info.vocabulary) for _ in range(KEPT + EVICTED + TAIL)]
        first, _ = await greedy(kernel, whole, "chat")
        grown = [*whole, *first[:-1], 301, 302, 303]
        answer, cached = await greedy(kernel, grown, "chat")
        assert cached == len(whole) + len(first) - 1  # growing evaluates the new tokens alone
        await kernel.save_sequence("chat", tmp_path / "chat.kv")
        evicted = [*whole[:KEPT], *grown[KEPT + EVICTED :]]
        after, cached = await greedy(kernel, evicted, "chat")
        assert cached == (0 if recurrent else KEPT)
        await kernel.drop("chat")
        assert (await greedy(kernel, evicted, "fresh")) == (after, 0)
        assert await kernel.restore_sequence("chat", tmp_path / "chat.kv") == len(grown) + len(answer) - 1
        await kernel.drop("fresh")
        resumed, cached = await greedy(kernel, [*grown, *answer[:-1], 304], "chat")
        assert cached == len(grown) + len(answer) - 1
        await kernel.drop("chat")
        assert (await greedy(kernel, [*grown, *answer[:-1], 304], "fresh")) == (resumed, 0)
    finally:
        await kernel.close()
