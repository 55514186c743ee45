from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmos_reason.answers import asks_for_number, key_of
from llmos_reason.effort import Effort, in_words, parse_effort
from llmos_reason.trivial import needs_no_thought
from llmos_reason.voting import Tally, Try, leader_confidence

from llmos.types import UserError


@pytest.mark.parametrize(
    ("text", "effort"),
    [
        ("off", Effort()),
        ("", Effort()),
        (None, Effort()),
        ("sure", Effort(0, True)),
        ("until sure", Effort(0, True)),
        ("30s", Effort(30, True)),
        ("20 s", Effort(20, True)),
        ("5 min", Effort(300, True)),
        ("1.5 minutes", Effort(90, True)),
        (12, Effort(12, True)),
    ],
)
def test_effort_as_a_person_says_it(text: object, effort: Effort) -> None:
    assert parse_effort(text) == effort


@pytest.mark.parametrize("text", ["long", "-3 s", "0.0 s", "2 h", "5 parsecs"])
def test_nonsense_is_no_effort(text: str) -> None:
    with pytest.raises(UserError, match="no time to think"):
        parse_effort(text)


@given(st.floats(1, 3600).map(lambda value: round(value)))
def test_the_words_of_an_effort_mean_it_again(seconds: int) -> None:
    assert parse_effort(in_words(Effort(float(seconds), True))).seconds == pytest.approx(seconds, rel=1e-4)


@pytest.mark.parametrize(
    ("answer", "question", "key"),
    [
        ("It is 1,517.", "What is 37*41?", "1517"),
        ("37*41 = 1517.0", "What is 37*41?", "1517"),
        ("So 3 and 4 make 7", "How many apples are there?", "7"),
        ("-0", "3 - 3", "0"),
        ("I think.\nAnswer: Paris", "Capital?", "paris"),
        ("The cat.", "Who?", "cat"),
        ("a cat", "Who?", "cat"),
        ("This is a long free answer about many things.", "Tell me.", ""),
        ("", "What is 2+2?", ""),
    ],
)
def test_equal_answers_have_equal_keys(answer: str, question: str, key: str) -> None:
    assert key_of(answer, question) == key


@given(st.integers(-(10**9), 10**9))
def test_numbers_are_the_same_with_and_without_separators(number: int) -> None:
    assert key_of(f"= {number:,}", "1 + 1") == key_of(f"It is {number}.0", "1 + 1") == str(number)


@given(st.text(), st.text())
def test_any_text_has_a_key(answer: str, question: str) -> None:
    assert isinstance(key_of(answer, question), str)
    assert isinstance(asks_for_number(question), bool)


def test_confidence_is_that_of_the_beta_distribution() -> None:
    assert leader_confidence(0, 0) == 0.5
    assert leader_confidence(1, 0) == 0.75
    assert leader_confidence(4, 0) == pytest.approx(1 - 0.5**5)
    assert leader_confidence(3, 3) == 0.5


@given(st.integers(0, 30), st.integers(0, 30))
def test_confidence_grows_with_the_lead(leader: int, runner_up: int) -> None:
    assert 0.0 < leader_confidence(leader, runner_up) < 1.0
    assert leader_confidence(leader + 1, runner_up) > leader_confidence(leader, runner_up)
    assert leader_confidence(leader, runner_up) + leader_confidence(runner_up, leader) == pytest.approx(1.0)


def attempt(key: str, logprob: float = -1.0, tokens: int = 10) -> Try:
    return Try(f"text {key}", "", key, tokens, logprob)


def test_the_vote_is_decided_by_lead_and_not_by_the_first_tries() -> None:
    tally = Tally()
    for _ in range(2):
        tally.add(attempt("7"))
    assert not tally.decided
    for _ in range(3):
        tally.add(attempt("7"))
    assert tally.decided
    assert tally.tokens == 50
    split = Tally()
    for key in "7878":
        split.add(attempt(key))
    assert not split.decided


def test_the_winner_is_the_likeliest_try_of_the_majority() -> None:
    tally = Tally()
    for one in (attempt("7", -2.0), attempt("7", -0.5), attempt("8", -0.1)):
        tally.add(one)
    chosen, how = tally.winner() or (None, "")
    assert (chosen, how) == (tally.tries[1], "vote")


def test_free_text_is_chosen_by_likelihood() -> None:
    tally = Tally()
    for one in (attempt("", -2.0), attempt("", -0.3), attempt("yes", -1.0)):
        tally.add(one)
    chosen, how = tally.winner() or (None, "")
    assert (chosen, how) == (tally.tries[1], "mean log-probability")
    assert Tally().winner() is None
    assert Tally().confidence == 0.0


@pytest.mark.parametrize("text", ["hi", "Hello there!", "Thank you so much", "ok", "How are you doing?", ""])
def test_small_talk_needs_no_thought(text: str) -> None:
    assert needs_no_thought(text)


@pytest.mark.parametrize("text", ["What is 2+2?", "hello, what is the capital of Peru?", "Why?"])
def test_questions_need_thought(text: str) -> None:
    assert not needs_no_thought(text)
