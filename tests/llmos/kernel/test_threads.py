"""Which thread count is taken from what was measured."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.kernel import threads


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ({2: 0.0002, 1: 0.0003}, 1),  # a thousand tokens a second: the other processor is the program's
        ({2: 0.007, 1: 0.009}, 2),
        ({2: 0.0095, 1: 0.009}, 2),  # nearly as fast, and ahead as soon as there is something to attend to
        ({2: 0.017, 1: 0.009}, 1),  # a busy machine
        ({4: 0.011, 2: 0.010, 1: 0.009}, 2),
        ({16: 0.010, 8: 0.008}, 8),
        ({16: 0.0002, 8: 0.0003}, 16),
        ({1: 0.02}, 1),
    ],
)
def test_the_thread_count_that_is_taken(seconds: dict[int, float], chosen: int) -> None:
    assert threads.settle(seconds) == chosen


@given(st.dictionaries(st.sampled_from([1, 2, 4, 8, 16]), st.floats(0.002, 1.0), min_size=1))
def test_it_is_never_much_slower_than_the_fastest(seconds: dict[int, float]) -> None:
    assert seconds[threads.settle(seconds)] <= 1.15 * min(seconds.values())
