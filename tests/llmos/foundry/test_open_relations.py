"""Relations put together by chance: grammatical, apart from those kept for testing, one a question."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.foundry.tasks import pages
from llmos.foundry.tasks.base import Split
from llmos.foundry.tasks.open_relations import _kept, _third, improvised
from llmos.foundry.tasks.relations import NEW_NAMES, NEW_RELATIONS, value


@pytest.mark.parametrize(
    ("verb", "form"),
    [
        ("hold", "holds"),
        ("carry", "carries"),
        ("play", "plays"),
        ("reach", "reaches"),
        ("buy", "buys"),
        ("mix", "mixes"),
    ],
)
def test_the_form_after_it(verb: str, form: str) -> None:
    assert _third(verb) == form


@given(st.integers(0, 10**6))
def test_a_relation_has_one_subject_one_value_and_is_not_kept_for_testing(seed: int) -> None:
    made = improvised(random.Random(seed))
    assert made.name not in NEW_NAMES
    assert made.statements[0] not in {r.statements[0] for r in NEW_RELATIONS}
    for statement in made.statements:
        assert statement.count("{s}") == statement.count("{v}") == 1 and statement.endswith(".")
    assert all("{s}" in q and "{v}" not in q for q in made.questions)
    assert value(random.Random(seed), made.kind, Split.TRAIN)


@given(st.integers(0, 10**6))
def test_verbs_of_kept_relations_come_in_no_other_build(seed: int) -> None:
    made = improvised(random.Random(seed))
    if len(made.statements) == 1:
        assert not _kept() & set(re.findall("[a-z]+", made.statements[0]))
    assert {"built", "repaired", "keeps"} <= _kept()


def test_half_are_sentences_with_a_verb_and_they_are_many() -> None:
    draw = random.Random(1)
    made = [improvised(draw) for _ in range(600)]
    verbs = [m for m in made if len(m.statements) == 1]
    assert 200 < len(verbs) < 400
    assert len({m.name for m in verbs}) > 0.8 * len(verbs)


@given(st.integers(0, 10**6))
def test_what_is_absent_is_answered_by_no_statement_of_its_subject(seed: int) -> None:
    made = pages.absent_from_pages(random.Random(seed), Split.TRAIN)
    asked = made.options["question"]
    assert all(asked not in page for page in made.options["pages"])


def test_subjects_of_several_words_begin_a_statement_with_a_capital() -> None:
    assert pages.stated("{s} holds {v} litres.", "the Halm tower", "3") == "The Halm tower holds 3 litres."
    assert (
        pages.stated("{v} is the colour of {s}.", "the Halm tower", "red")
        == "red is the colour of the Halm tower."
    )
    draw = random.Random(2)
    names = [pages.subject_name(draw, Split.TRAIN) for _ in range(200)]
    assert 40 < sum(" " in n for n in names) < 110
    assert not any(" " in pages.subject_name(draw, Split.NAMES) for _ in range(200))
