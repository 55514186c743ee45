from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmos_ram.words import (
    about,
    content_words,
    is_question,
    is_small_talk,
    renews,
    same_subject,
    subject_of,
    tells_anew,
)


@pytest.mark.parametrize(
    "text", ["What is my locker code?", "where does Ana live", "Thanks. And how old is she?"]
)
def test_questions(text: str) -> None:
    assert is_question(text)


@pytest.mark.parametrize("text", ["My locker code is 4821.", "", "I asked Ana. She lives in Oslo. Fine?"])
def test_statements_are_no_questions(text: str) -> None:
    assert not is_question(text)


@pytest.mark.parametrize("text", ["hi", "Thanks a lot!", "ok", "", "Good morning!", "that's great"])
def test_small_talk(text: str) -> None:
    assert is_small_talk(text)


@pytest.mark.parametrize("text", ["My cat is Mia", "4821", "Thanks, the code was 12"])
def test_content_is_no_small_talk(text: str) -> None:
    assert not is_small_talk(text)


def test_the_subject_is_what_comes_before_the_verb() -> None:
    assert subject_of("My locker code is now 4821.") == {"locker", "code"}
    assert same_subject(subject_of("My locker code is 12."), subject_of("The locker code was 977, I think."))
    assert not same_subject(subject_of("My sister's name is Ana."), subject_of("My brother's name is Tom."))


@given(st.text())
def test_any_text_has_words_without_failing(text: str) -> None:
    words = content_words(text)
    assert all(words)
    assert content_words(text) == words
    assert isinstance(is_question(text), bool)
    assert same_subject(subject_of(text), subject_of(text)) is bool(subject_of(text))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("I like tea.", "I like coffee."),
        ("Ana is allergic to nuts.", "Ana is a nurse."),
        ("Room 12 is red.", "Room 14 is blue."),
        ("I paid 90 crowns for the lamp.", "I paid 20 crowns for the piano."),
    ],
)
def test_different_facts_do_not_supersede_each_other(one: str, other: str) -> None:
    assert not same_subject(subject_of(one), subject_of(other))
    assert not renews(about(one), about(other))


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        ("I live in Rome now.", "I live in Paris."),
        ("I paid 90 crowns for the lamp.", "I paid 20 crowns for the lamp."),
        ("They changed the code of the blue locker to 12.", "The code of the blue locker is 7."),
    ],
)
def test_later_versions_are_known_in_other_forms_too(newer: str, older: str) -> None:
    assert renews(about(newer), about(older))


def test_only_a_new_value_keeps_the_older_one_away() -> None:
    older = "My locker code is 4821."
    assert tells_anew("My locker code is 9134.", older)
    for asks in (
        "Tell me the locker code.",
        "My locker code is?",
        "I forgot what my locker code is now.",
        older,
    ):
        assert not tells_anew(asks, older)
