"""The time of one answer, on a clock of our own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmos_reason.budget import Budget
from llmos_reason.effort import Effort

from llmos.types import AnswerNow


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def budget(seconds: float) -> tuple[Budget, Clock, AnswerNow]:
    clock, now = Clock(), AnswerNow()
    return Budget(Effort(seconds, True), now, clock), clock, now


@given(st.floats(1, 3600), st.floats(0.1, 10_000))
def test_the_end_comes_within_a_tenth_of_the_time_when_a_vote_stands(seconds: float, rate: float) -> None:
    one, clock, _ = budget(seconds)
    one.ended(rate)
    one.has_answer = True
    clock.now += 0.9 * seconds
    assert not one.over
    clock.now += 0.1 * seconds
    assert one.over


@given(st.floats(1, 3600), st.floats(0.1, 10_000))
def test_what_is_kept_lets_a_closing_answer_end_in_time(seconds: float, rate: float) -> None:
    one, clock, _ = budget(seconds)
    one.ended(rate)
    clock.now += seconds - one.kept + 1e-6
    assert one.over and not one.at_an_end
    tokens = one.closing_tokens(None)
    assert 8 <= tokens <= 96
    assert tokens == 8 or one.spent + tokens / rate <= 1.1 * seconds
    clock.now = 100.0 + 1.1 * seconds
    assert one.at_an_end


def test_the_pace_is_known_before_a_try_ends() -> None:
    one, clock, _ = budget(10)
    assert one.tokens == 0
    for _ in range(10):
        one.saw(40)
        clock.now += 0.1
    assert one.tokens == pytest.approx(1000, rel=0.2)
    one.ended(50.0)
    assert one.tokens == 500
    assert one.kept == pytest.approx(0.8)


def test_the_pace_is_of_counted_tokens_where_they_are_counted() -> None:
    one, clock, _ = budget(10)
    for _ in range(11):
        one.saw(3)  # a token is a letter here, as in Chinese
        clock.now += 0.1
        one.count.tokens += 3
    assert one.tokens == pytest.approx(300, rel=0.2)


def test_a_wish_for_the_answer_ends_the_thinking_and_not_the_answer() -> None:
    one, _, now = budget(600)
    assert not one.over
    now.requested = True
    assert one.over and one.closing_tokens(None) == 96 and not one.at_an_end


def test_without_a_limit_only_the_wish_ends_it() -> None:
    one, clock, _ = budget(0)
    clock.now += 10_000
    assert not one.over and not one.at_an_end and one.left > 0 and one.tokens == 0


def test_the_clock_ticks_once_a_second() -> None:
    one, clock, _ = budget(10)
    ticks = 0
    for _ in range(50):
        clock.now += 0.1
        ticks += one.tick()
    assert 4 <= ticks <= 5
