"""Intervals against known cases, and candidates drawn for a choice."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.stages.experiments import compute_questions, drawn, unknown
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


@given(st.lists(st.text(min_size=1), min_size=2, max_size=20, unique=True), st.integers())
def test_candidates_hold_the_right_one_once(others: Sequence[str], seed: int) -> None:
    found = drawn(random.Random(seed), others[0], others)
    assert found.count(others[0]) == 1
    assert len(found) == min(8, len(others)) == len(set(found))


def test_questions_for_tools_differ() -> None:
    assert len(set(compute_questions(12))) == 12
    assert unknown("I do not know.") and not unknown("She is a painter.")
