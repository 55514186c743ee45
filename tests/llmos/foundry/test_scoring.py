"""Intervals: items that belong together count once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.foundry.evaluate import Result, compare, numbered
from llmos.foundry.scoring import paired_interval, wilson

SCORES = st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 1.0])), min_size=1, max_size=60)


@given(SCORES)
def test_without_groups_every_item_is_its_own(pairs: list[tuple[float, float]]) -> None:
    before, after = [b for b, _ in pairs], [a for _, a in pairs]
    alone = paired_interval(before, after, draws=40)
    assert alone == paired_interval(before, after, draws=40, groups=range(len(pairs)))
    assert alone[0] == pytest.approx(sum(after) / len(pairs) - sum(before) / len(pairs))
    assert -1 <= alone[1] <= alone[2] <= 1


@given(SCORES, st.integers(2, 5))
def test_an_item_drawn_again_and_again_narrows_nothing(pairs: list[tuple[float, float]], times: int) -> None:
    before, after = [b for b, _ in pairs], [a for _, a in pairs]
    once = paired_interval(before, after, draws=40)
    again = paired_interval(before * times, after * times, draws=40, groups=list(range(len(pairs))) * times)
    assert again == pytest.approx(once)


def test_items_that_differ_in_number_are_refused() -> None:
    with pytest.raises(ValueError, match="same items"):
        paired_interval([1.0], [1.0, 0.0])


def test_prompts_are_numbered_by_their_text() -> None:
    assert numbered(["a", "b", "a"]) == [0, 1, 0]
    assert numbered(["a", "b"]) == []


def test_a_share_has_the_bounds_of_its_different_prompts() -> None:
    often = Result(400, {"correct": [1.0, 0.0] * 200}, groups=[0, 1, 2, 3] * 100).summary()
    assert (often["n"], often["distinct"]) == (400, 4)
    low, high = wilson(2, 4)
    assert often["correct"] == {"value": 0.5, "low": round(low, 4), "high": round(high, 4)}
    assert Result(400, {"correct": [1.0, 0.0] * 200}).summary()["distinct"] == 400


def test_a_change_is_of_different_prompts() -> None:
    before = {"single_digits": Result(40, {"correct": [0.0] * 20 + [1.0] * 20}, groups=[0] * 20 + [1] * 20)}
    after = {"single_digits": Result(40, {"correct": [1.0] * 40}, groups=[0] * 20 + [1] * 20)}
    found = compare(before, after)["single_digits"]
    assert (found["change"], found["low"], found["high"]) == (0.5, 0.0, 1.0)
