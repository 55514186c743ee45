"""Scores and whole distributions along a text, against a plain forward pass in numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.kernel.client import KernelClient
from llmos.kernel.looks import entropy, log_sum
from llmos.kernel.protocol import KernelError

MODULE = pytest.mark.asyncio(loop_scope="module")
TEXT = [2, 40, 41, 7, 99, 300, 12, 40, 41, 8, 3, 77, 250, 18, 19, 20, 21, 22, 23, 24, 25, 26]


async def whole(kernel: KernelClient, tokens: list[int]) -> dict[int, float]:
    """The distribution after some tokens, from the other operation."""
    return {one.token: one.probability for one in await kernel.next_tokens(tokens, top=100_000)}


@MODULE
async def test_a_trace_is_the_distribution_at_every_place(kernel: KernelClient) -> None:
    places = await kernel.trace(TEXT, start=3, top=4)
    assert len(places) == len(TEXT) - 3 + 1
    for place, one in enumerate(places, 3):
        if place not in (3, 9, len(TEXT)):
            continue
        expected = await whole(kernel, TEXT[:place])
        bits = -sum(p * math.log(p) for p in expected.values() if p > 0)
        assert one.entropy == pytest.approx(bits, abs=2e-3)
        best = sorted(expected.items(), key=lambda item: -item[1])[:4]
        assert [p for _, p in best] == pytest.approx([row.probability for row in one.alternatives], abs=1e-3)
        if place < len(TEXT):
            assert one.token == TEXT[place]
            assert math.exp(one.logprob) == pytest.approx(expected[TEXT[place]], rel=2e-2)
    assert places[-1].token == -1 and places[-1].logprob == 0.0


@MODULE
async def test_a_later_start_gives_the_same_values(kernel: KernelClient) -> None:
    every = await kernel.score(TEXT)
    assert await kernel.score(TEXT, start=9) == pytest.approx([0.0] * 9 + every[9:], abs=1e-2)
    other = [*TEXT[:15], 301, 302, 303]  # shares a beginning with what is cached
    assert (await kernel.score(other, start=15))[15:] == pytest.approx(
        (await kernel.score(other))[15:], abs=1e-2
    )
    traced = await kernel.trace(TEXT)
    assert [one.logprob for one in traced[:-1]] == pytest.approx(every[1:], abs=1e-2)
    assert all(one.alternatives == () for one in traced)


@MODULE
async def test_entropy_moves_with_the_text(kernel: KernelClient) -> None:
    first, second = await kernel.trace(TEXT[:8]), await kernel.trace([*TEXT[:7], 400])
    assert [one.entropy for one in first[:-1]] == pytest.approx([one.entropy for one in second[:-1]], abs=1e-3)
    assert first[-1].entropy != second[-1].entropy


@MODULE
@pytest.mark.parametrize("start", [0, -1, len(TEXT) + 1])
async def test_a_trace_begins_inside_the_text(kernel: KernelClient, start: int) -> None:
    with pytest.raises(KernelError, match="places 1 to"):
        await kernel.trace(TEXT, start=start)


@given(st.lists(st.floats(-40, 40, width=32), min_size=1, max_size=50))
def test_entropy_of_any_logits(values: list[float]) -> None:
    logits = np.asarray(values, np.float32)
    exact = np.exp(logits.astype(np.float64) - max(values))
    exact /= exact.sum()
    expected = -sum(p * math.log(p) for p in exact if p > 0)
    found = entropy(logits, log_sum(logits))
    assert found == pytest.approx(expected, abs=1e-4)
    assert -1e-6 <= found <= math.log(len(values)) + 1e-4


def test_what_cannot_come_adds_nothing() -> None:
    logits = np.asarray([0.0, 0.0, -np.inf], np.float32)
    assert entropy(logits, log_sum(logits)) == pytest.approx(math.log(2))
