"""MinHash: signatures measure what two sets share, and equal those of datasketch."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.foundry.funnel.minhash import AlikeIndex, MinHash, best_bands
from tests.helpers.require import require

sets = st.sets(st.binary(min_size=1, max_size=6), min_size=1, max_size=60)


@given(sets, sets)
@settings(max_examples=40)
def test_signatures_agree_about_as_often_as_the_sets_do(one: set[bytes], other: set[bytes]) -> None:
    made = MinHash(512)
    first, second = made.signature(one), made.signature(other)
    share = len(one & other) / len(one | other)
    assert abs(float((first == second).mean()) - share) < 5 * (0.25 / 512) ** 0.5 + 1e-9
    assert np.array_equal(made.signature(sorted(one)), first)


def test_large_sets_are_hashed_in_blocks_like_small_ones() -> None:
    made = MinHash(16)
    items = [str(number).encode() for number in range(10_000)]
    parts = [made.signature(items[begin : begin + 1_000]) for begin in range(0, 10_000, 1_000)]
    assert np.array_equal(np.minimum.reduce(parts), made.signature(items))


def test_the_index_takes_alike_and_leaves_others() -> None:
    draw = random.Random(3)
    made, index = MinHash(64), AlikeIndex(0.7, 64)
    first = {f"{draw.random()}".encode() for _ in range(200)}
    index.add(made.signature(first))
    nearly = set(list(first)[:190]) | {b"a", b"b"}
    assert index.holds(made.signature(nearly))
    assert not index.holds(made.signature({f"{draw.random()}".encode() for _ in range(200)}))


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.9])
def test_signatures_and_bands_equal_those_of_datasketch(threshold: float) -> None:
    require("datasketch")
    import datasketch

    index = datasketch.MinHashLSH(threshold=threshold, num_perm=64)
    assert best_bands(threshold, 64) == (index.b, index.r)
    draw = random.Random(int(threshold * 10))
    for _ in range(20):
        items = [draw.randbytes(draw.randrange(1, 30)) for _ in range(draw.randrange(1, 300))]
        other = datasketch.MinHash(num_perm=64, seed=1)
        other.update_batch(items)
        assert np.array_equal(MinHash(64).signature(items), other.hashvalues)
