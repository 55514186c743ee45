"""Sentences and what supports them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from llmos_disk.support import check, sentences

PASSAGE = (
    "engine.md Engine > Oil\nChange the oil after 8000 kilometres. The filter is changed with every second "
    "oil change. Call set_idle_speed(700) to set the idle speed. The pump does not need grease."
)


def verdicts(answer: str) -> list[bool | None]:
    return [one.supported for one in check(answer, [(1, PASSAGE)])]


def test_supported_and_not() -> None:
    assert verdicts("The oil is changed after 8000 kilometres [1].") == [True]
    assert verdicts("The oil is changed after 9000 kilometres [1].") == [False]  # another number
    assert verdicts("The engine was built in Stuttgart by Daimler.") == [False]
    assert verdicts("The pump needs grease.") == [False]  # the opposite
    assert verdicts("Call set_fan_speed(700) to set the idle speed.") == [False]  # another name


def test_what_claims_nothing_is_not_judged() -> None:
    assert verdicts("The pages do not say.") == [None]
    assert verdicts("Which engine is it?") == [None]


def test_places_and_passages_are_told() -> None:
    answer = "Oil is changed after 8000 kilometres [1]. It shines green."
    first, second = check(answer, [(4, "nothing of the kind"), (7, PASSAGE)])
    assert answer[first.start : first.end] == "Oil is changed after 8000 kilometres [1]."
    assert (first.passage, second.supported) == (7, False)


def test_code_is_left_out_and_decimals_do_not_end_sentences() -> None:
    answer = "It takes 3.5 litres.\n```\nprint('x.')\n```\n- Version 1.2.3 is out."
    assert [answer[start:end] for start, end in sentences(answer)] == [
        "It takes 3.5 litres.",
        "Version 1.2.3 is out.",
    ]


@given(st.text(max_size=300))
def test_spans_are_ordered_and_inside(text: str) -> None:
    last = 0
    for start, end in sentences(text):
        assert last <= start < end <= len(text)
        last = end
    check(text, [(1, text)])
