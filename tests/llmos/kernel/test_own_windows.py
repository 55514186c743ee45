"""Sequences with windows of their own: the same answers, also where a prefix is shared or forked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from llmos.kernel.client import KernelClient
from llmos.kernel.engine import Engine
from llmos.kernel.protocol import Chunk, GenerateRequest, KernelError, LoadRequest
from llmos.kernel.sequences import SequenceTable
from llmos.types import SamplingSettings


@pytest.fixture(scope="module")
def apart(tiny: Path) -> Iterator[Engine]:
    """The tiny model with four windows of 256 tokens."""
    made = Engine(tiny, context=1024, threads=1, max_sequences=4, own_windows=True)
    yield made
    made.close()


def _row(engine: Engine, tokens: list[int], sequence: int, start: int = 0) -> np.ndarray:
    rows = [(t, start + at, sequence, at == len(tokens) - 1) for at, t in enumerate(tokens)]
    assert engine.decode(rows) == 0
    return engine.logits(len(rows) - 1).copy()


def test_a_part_of_another_window_is_shared(engine: Engine, apart: Engine) -> None:
    assert apart.context == 256
    first, second = [5 + at % 50 for at in range(60)], [5 + at % 50 for at in range(40)] + [9, 8, 7]
    engine.clear()
    apart.clear()
    expected = _row(engine, second, 0)
    table = SequenceTable(apart, 4)
    one, other = table.claim("one"), table.claim("other")
    assert one is not None and other is not None
    _row(apart, first, one.number)
    table.append(one, first)
    kept = table.reuse(other, second)
    assert kept == 40 and apart.last_position(other.number) == 39
    got = _row(apart, second[kept:], other.number, kept)
    assert np.abs(got - expected).max() < 0.05 * expected.std()
    assert apart.last_position(one.number) == 59  # the source is as it was
    wrong = _row(apart, second[kept:], 3)  # without what came before it the numbers are others
    assert np.abs(wrong - expected).max() > np.abs(got - expected).max() * 2


async def _texts(kernel: KernelClient, request: GenerateRequest) -> tuple[list[str], int]:
    texts, chunks = [""] * request.samples, 0
    async for event in kernel.generate(request):
        if isinstance(event, Chunk):
            texts[event.sample] += event.text
            chunks += 1
    return texts, chunks


async def test_answers_are_those_of_the_shared_window(tiny: Path) -> None:
    def request(at: int, **values: object) -> GenerateRequest:
        prompt = [5 + one % 50 for one in range(30)] + [at + 3]
        fixed = GenerateRequest(
            prompt, f"lane-{at}", 24, SamplingSettings(temperature=0.0), bias={one: -100.0 for one in range(3)}
        )
        return GenerateRequest(**{**{n: getattr(fixed, n) for n in fixed.__slots__}, **values})

    async def ask(**load: object) -> list[tuple[list[str], int]]:
        kernel = KernelClient()
        try:
            await kernel.load(LoadRequest(tiny, threads=1, max_sequences=8, **load))  # type: ignore[arg-type]
            found = [await _texts(kernel, request(0)), await _texts(kernel, request(1, stream=False))]
            found += await asyncio.gather(*(_texts(kernel, request(at, stream=False)) for at in range(2, 5)))
            found.append(await _texts(kernel, request(0, samples=3, stream=False)))
            if load.get("own_windows"):
                with pytest.raises(KernelError, match="context window holds 256"):
                    await _texts(kernel, request(5, prompt=[7] * 300))
            return found
        finally:
            await kernel.close()

    together = await ask(context=2048)
    apart = await ask(context=2048, own_windows=True)
    assert [texts for texts, _ in apart] == [texts for texts, _ in together]
    assert apart[-1][0] == [apart[0][0][0]] * 3  # greedy forks write the same
    assert all(texts[0] for texts, _ in apart)
    assert [chunks for _, chunks in apart[1:]] == [1, 1, 1, 1, 3]  # a sample's text in one piece
