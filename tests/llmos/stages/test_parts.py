from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.stages.architecture import cosine_by_layer, power_law
from llmos.stages.frame import visible
from llmos.stages.tokens import bpe_steps
from llmos.stages.training import heat_rows


@given(st.text(max_size=60), st.integers(0, 12))
def test_bpe_keeps_the_bytes_and_merges_the_most_frequent(text: str, steps: int) -> None:
    tokens, merges = bpe_steps(text, steps)
    assert b"".join(tokens) == text.encode()
    assert len(merges) <= steps
    assert all(merge.count >= 2 for merge in merges)
    assert len(tokens) <= len(text.encode())


def test_bpe_on_the_textbook_example() -> None:
    _, merges = bpe_steps("aaabdaaabac", 1)
    assert (merges[0].left, merges[0].right, merges[0].count) == (b"a", b"a", 4)


def test_small_parts() -> None:
    assert heat_rows([[0.0, 1.0]]) == ["  @@"]
    assert visible(b" a\n") == "␣a⏎"
    assert cosine_by_layer([[1, 0], [1, 1]], [[0, 1], [1, 1]]) == pytest.approx([0.0, 1.0])
    a, b = power_law([1, 10, 100], [5, 0.5, 0.05])
    assert (a, b) == (pytest.approx(5), pytest.approx(-1))
