"""Shares from what a kernel noted: answers that begin late, end early, or grow unevenly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.bench.serve_shares import share_at_half_time, share_in_the_middle


def _noted(starts: dict[str, int], tokens: int, pace: dict[str, int] | None = None) -> list[dict[str, int]]:
    """Answers that run from a step on; the first token is drawn in that step, then one every so many steps."""
    steps: list[dict[str, int]] = []
    for step in range(max(starts.values()) + tokens * max((pace or {"": 1}).values())):
        held = {}
        for name, start in starts.items():
            made = 1 + (step - start) // (pace or {}).get(name, 1)
            if step >= start and made < tokens:
                held[name] = made
        steps.append(held)
    return steps


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 9), min_size=2), st.integers(24, 60))
def test_answers_that_begin_one_after_the_other(starts: dict[str, int], tokens: int) -> None:
    noted = _noted(starts, tokens)
    late = max(starts.values()) - min(starts.values())
    share = share_at_half_time(noted, tokens)
    assert (share == 1) == (late == 0)
    assert share >= (tokens / 2 - late - 1) / (tokens / 2 + late)
    assert share_in_the_middle(noted) == 1  # a late beginning is no uneven growth


def test_one_that_gets_a_token_in_every_second_step() -> None:
    noted = _noted({"a": 0, "b": 0, "c": 0}, 40, {"b": 2})
    assert share_in_the_middle(noted) == pytest.approx(0.5, abs=0.03)
    assert share_at_half_time(noted, 40) == pytest.approx(0.5, abs=0.03)


def test_one_whose_prompt_is_still_being_read_has_nothing() -> None:
    assert share_at_half_time([{"a": 0}, {"a": 1, "b": 0}, {"a": 2, "b": 0}, {"a": 3, "b": 1}], 2) == 0


def test_answers_that_never_met_have_no_share() -> None:
    with pytest.raises(ValueError, match="never written all together"):
        share_in_the_middle([{"a": 1}, {"b": 1}])
    with pytest.raises(ValueError, match="before half time"):
        share_at_half_time([{"a": 1}], 40)
