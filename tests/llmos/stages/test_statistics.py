"""Intervals against known cases, and candidates drawn for a choice."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.stages.experiments import compute_questions, unknown
from llmos.stages.ranks import mean_rank, ranks_of
from llmos.stages.statistics import Share, wilson


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_interval_holds_its_share_and_narrows(right: int, more: int) -> None:
    of = right + more
    low, high = wilson(right, of)
    assert 0.0 <= low <= (right / of if of else 0.5) <= high <= 1.0
    wider = wilson(right, of)[1] - wilson(right, of)[0]
    narrower = wilson(4 * right, 4 * of)[1] - wilson(4 * right, 4 * of)[0]
    assert narrower < wider or of == 0


def test_the_interval_of_a_known_case() -> None:
    # Wilson (1927) for 8 of 10, to three digits.
    assert wilson(8, 10) == pytest.approx((0.490, 0.943), abs=1e-3)
    assert Share("x", 8, 10).row() == ["x", "8 of 10", "80%", "49% to 94%"]


@given(st.integers(2, 6), st.integers(), st.floats(0.1, 50))
def test_a_completion_that_wins_everywhere_is_not_known(count: int, seed: int, bias: float) -> None:
    rng = random.Random(seed)
    table = [[rng.uniform(-9, 0) for _ in range(count)] for _ in range(count)]
    common = [[value + bias * (place == 0) for place, value in enumerate(row)] for row in table]
    assert ranks_of(common) == ranks_of(table)
    assert all(1 <= rank <= count for rank in ranks_of(table))


def test_ranks_of_a_known_table() -> None:
    assert ranks_of([[-1, -9, -9], [-9, -1, -9], [-9, -9, -1]]) == [1, 1, 1]
    assert ranks_of([[-9, -1], [-1, -9]]) == [2, 2]
    assert ranks_of([[-5, -5], [-5, -5]]) == [2, 2]  # equals are no knowledge
    assert ranks_of([[-1, -2, -3]]) == [] and mean_rank([]) == 0.0


def test_questions_for_tools_differ() -> None:
    assert len(set(compute_questions(12))) == 12
    assert unknown("I do not know.") and not unknown("She is a painter.")
