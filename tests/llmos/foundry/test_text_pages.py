"""Questions to written sentences, and pages of a corpus: answered by a sentence of the page, or not at all."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.formats import NOT_IN_PAGES
from llmos.foundry.pairs import pair
from llmos.foundry.scoring import score
from llmos.foundry.tasks.base import Split
from llmos.foundry.tasks.mix import conversation
from llmos.foundry.tasks.text_pages import TextPages, sentences_of
from llmos.foundry.tasks.text_questions import _by_rule, content_words, parse, question

TEXTS = [
    "The old mill stands near the river. It was built by Anna Weber in 1821. The miller kept three horses in the barn. "
    "Every spring the water carries branches down to the gate. People bring their corn on Monday.",
    "The harbour has two cranes. A small boat crosses the bay at noon. The captain sold the ferry in 1990. "
    "Fishermen mend their nets behind the church. The lighthouse was painted white by the children of the school.",
    "Our school opens on the first of August. The teacher planted twelve trees along the fence. "
    "Children are allowed to use the red bicycles. The library closes because the roof is being repaired.",
]


@pytest.mark.parametrize(
    ("sentence", "asked"),
    [
        ("The captain sold the ferry in 1990.", "When did the captain sell the ferry?"),
        ("The old mill stands near the river.", "Where does the old mill stand?"),
        ("The teacher planted twelve trees along the fence.", "How many trees did the teacher plant along the fence?"),
        ("The mill was built by Anna Weber.", "By whom was the mill built?"),
        ("In 1970, Venera 7 became the first probe.", "When did Venera 7 become the first probe?"),
        ("The library is closed because the roof leaks.", "Why is the library closed?"),
        ("Fill the tank with three litres of water.", "How many litres should I fill the tank with?"),
    ],
)  # fmt: skip
def test_rules_turn_a_statement_into_questions(sentence: str, asked: str) -> None:
    said = parse(sentence)
    assert said is not None
    made = {q for seed in range(60) for q in _by_rule(random.Random(seed), said)}
    assert asked in made, sorted(made)


@pytest.mark.parametrize("text", ['He said "no" to it.', "And then nothing.", "Why", ""])
def test_what_is_no_plain_statement_is_not_taken_apart(text: str) -> None:
    assert parse(text) is None


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200), st.integers(0, 10**6))
def test_any_text_is_taken(text: str, seed: int) -> None:
    for sentence in [text, *sentences_of(text)]:
        asked = question(random.Random(seed), sentence)
        assert len(asked) <= 200
    assert all(4 <= len(s.split()) <= 26 for s in sentences_of(text))


@given(st.sampled_from([s for t in TEXTS for s in sentences_of(t)]), st.integers(0, 10**6))
def test_a_question_shares_a_word_with_its_sentence(sentence: str, seed: int) -> None:
    asked = question(random.Random(seed), sentence)
    if asked and not any(len(w) <= 4 for w in content_words(asked)):
        stems = {w[:3] for w in sentence.lower().replace(".", "").split()}
        likes = {"kids", "yard", "rock", "road", "lady", "vehicle", "shop", "store", "begins", "paints"}
        assert any(w[:3] in stems or w in likes for w in asked.lower().strip("?.").split())


@given(st.integers(0, 10**6))
def test_answers_are_sentences_of_the_page_that_they_cite(seed: int) -> None:
    made = TextPages(TEXTS).conversation(random.Random(seed), Split.TRAIN)
    pages = made.turns[0].content
    assert made.turns[0].role == "user" and made.turns[-1].role == "assistant"
    for turn in made.turns[1::2]:
        if turn.content == NOT_IN_PAGES:
            continue
        sentence, _, mark = turn.content.rpartition(" ")
        page = pages[pages.index(mark) :]
        page = page[: page.index("\n\n")]
        assert sentence in page


def test_about_a_quarter_of_the_questions_have_no_answer() -> None:
    made, rng = TextPages(TEXTS), random.Random(3)
    count = Counter(
        turn.content == NOT_IN_PAGES
        for _ in range(400)
        for turn in made.conversation(rng, Split.TRAIN).turns[1::2]
    )
    assert 0.15 < count[True] / count.total() < 0.4


def test_passages_held_out_by_the_funnel_are_not_trained_on(tmp_path: Path) -> None:
    rows = [
        {"source": "a", "text": TEXTS[0] * 2, "held_out": False},
        {"source": "a", "text": TEXTS[1] * 2, "held_out": True},
    ]
    path = tmp_path / "passages.jsonl"
    path.write_text("\n".join(json.dumps(r) for r in rows))
    made = TextPages.load(path)
    assert made is not None
    said = " ".join(made.conversation(random.Random(n), Split.TRAIN).turns[0].content for n in range(40))
    assert "mill" in said and "harbour" not in said
    path.write_text(json.dumps(rows[1]))
    assert TextPages.load(path) is None and TextPages.load(tmp_path / "none") is None


def test_the_mix_has_them_where_there_is_a_corpus() -> None:
    texts, rng = TextPages(TEXTS), random.Random(5)
    kinds = Counter(conversation(rng, texts=texts).kind for _ in range(400))
    assert 0.15 < kinds["text_pages"] / 400 < 0.4  # some are joined to other tasks
    assert not any(conversation(rng).kind == "text_pages" for _ in range(100))


@given(st.integers(0, 10**6))
def test_one_question_can_be_checked(seed: int) -> None:
    made = TextPages(TEXTS).one_question(random.Random(seed), Split.TRAIN)
    assert made.kind in ("pages", "absent")
    assert score(made, made.turns[-1].content)["correct"] == 1
    for wrong in made.options["wrong"]:
        assert score(made, wrong)["correct"] == 0


@given(st.integers(0, 10**6))
def test_pairs_of_the_corpus_never_reject_a_set_sentence(seed: int) -> None:
    made = pair(random.Random(seed), Split.TRAIN, TextPages(TEXTS))
    assert made.chosen != made.rejected and made.rejected.content != NOT_IN_PAGES
