"""Generated conversations: splits share nothing, answers are true, calls are exact."""

import random
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.formats import BUNDLED_TOOLS, NOT_IN_PAGES
from llmos.foundry.scoring import last_number, parse_call, score, visible, wilson, word_f1
from llmos.foundry.tasks import arithmetic, help, memory, pages, prose, refuse, smalltalk, tools, wordings
from llmos.foundry.tasks.base import Split, made_up, phrases
from llmos.foundry.tasks.mix import conversation
from llmos.foundry.tasks.open_relations import improvised
from llmos.foundry.tasks.relations import NEW_RELATIONS, TRAIN_RELATIONS


def rng(seed: int = 0) -> random.Random:
    return random.Random(seed)


def test_names_of_training_and_tests_are_disjoint() -> None:
    draw = rng()
    for kind in ("person", "place", "thing"):
        train = {made_up(draw, kind, Split.TRAIN) for _ in range(400)}
        test = {made_up(draw, kind, Split.NAMES) for _ in range(200)}
        assert not train & test


def test_phrasings_are_disjoint() -> None:
    items = [str(n) for n in range(20)]
    assert not set(phrases(items, Split.TRAIN)) & set(phrases(items, Split.PHRASES))
    assert set(phrases(items, Split.TRAIN)) == set(phrases(items, Split.NAMES))


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9?]", "", text.lower()) or text


def test_composed_wordings_never_are_held_out_ones() -> None:
    draw = rng()
    for relation in random.Random(1).sample(TRAIN_RELATIONS, 40):
        held = {_plain(q.format(s="Zorb")) for q in phrases(relation.questions, Split.PHRASES)}
        made = [pages.question(draw, relation, "Zorb", Split.TRAIN) for _ in range(150)]
        assert not held & {_plain(q) for q in made}
        assert len(set(made)) > 40
    held = {_plain(refuse.refuse_harm(draw, Split.PHRASES).turns[0].content) for _ in range(400)}
    made = [refuse.refuse_harm(draw, Split.TRAIN).turns[0].content for _ in range(2000)]
    assert not held & {_plain(q) for q in made}
    assert len(set(made)) > 1000
    held = {_plain(smalltalk.small_talk(draw, Split.PHRASES).turns[0].content) for _ in range(600)}
    kept = [w for kind in wordings.MORE_SMALL_TALK for w in kind]
    assert not held & {_plain(w) for w in kept}


def test_absent_subjects_are_asked_for_beside_present_ones() -> None:
    draw, unknown = rng(), 0
    for _ in range(200):
        made = pages.several_questions(draw, Split.TRAIN)
        unknown += sum(t.content == NOT_IN_PAGES for t in made.turns)
    assert unknown > 60


def test_a_page_number_is_cited_where_the_subject_stands() -> None:
    draw = rng()
    for _ in range(60):
        made = pages.which_page(draw, Split.TRAIN)
        text = made.turns[0].content
        for turn in made.turns[1::2]:
            if turn.content != NOT_IN_PAGES:
                subject, _, number = turn.content.removesuffix("]").partition(" is on page [")
                page = text.split(f"[{number}] ")[1].split("\n\n")[0]
                assert subject.lower() in page.lower()


def test_relations_are_many_and_disjoint() -> None:
    assert len(TRAIN_RELATIONS) >= 100
    new = {r.name for r in NEW_RELATIONS}
    assert not new & {r.name for r in TRAIN_RELATIONS}
    draw = rng()
    assert not new & {improvised(draw).name for _ in range(500)}


@given(st.integers(0, 10**6), st.sampled_from(list(Split)))
def test_page_answers_are_stated_on_the_cited_page(seed: int, split: Split) -> None:
    made = pages.answer_from_pages(rng(seed), split)
    cited = made.options["pages"][made.options["page"] - 1]
    assert cited.startswith(f"[{made.options['page']}] ")
    assert made.answer in cited
    assert score(made, made.turns[-1].content)["exact"] == 1.0
    assert score(made, NOT_IN_PAGES)["correct"] == 0.0


@given(st.integers(0, 10**6), st.sampled_from([Split.TRAIN, Split.NAMES]))
def test_prose_answers_are_sentences_of_the_cited_page(seed: int, split: Split) -> None:
    made = prose.answer_from_prose(rng(seed), split)
    sentence = made.turns[-1].content.rpartition(" [")[0]
    assert sentence in made.options["pages"][made.options["page"] - 1]
    assert made.answer in sentence
    assert sum(sentence in page for page in made.options["pages"]) == 1


@given(st.integers(0, 10**6), st.sampled_from([pages.several_questions, prose.several_prose_questions]))
def test_later_questions_are_answered_from_the_first_turn(seed: int, make: Any) -> None:
    turns = make(rng(seed), Split.TRAIN).turns
    assert [t.role for t in turns] == ["user", "assistant"] * (len(turns) // 2)
    for turn in turns[1::2]:
        assert turn.content == NOT_IN_PAGES or re.search(r"\[\d\]$", turn.content)
    assert all("[1]" not in t.content for t in turns[2::2])


@given(st.integers(0, 10**6))
def test_absent_facts_are_not_on_the_pages(seed: int) -> None:
    made = pages.absent_from_pages(rng(seed), Split.NAMES)
    assert made.turns[-1].content == NOT_IN_PAGES


@given(st.integers(0, 10**6), st.sampled_from(list(Split)))
def test_steps_lead_to_the_true_result(seed: int, split: Split) -> None:
    made = arithmetic.sum_by_steps(rng(seed), split)
    a, sign, b = made.options["a"], made.options["sign"], made.options["b"]
    truth = str(arithmetic.evaluate(a, sign, b))
    assert made.answer == truth
    assert made.turns[-1].thinking.splitlines()[-1] == f"= {truth}"
    lines = re.findall(r"^\w[\w ]*: ([\d +*-]+) = (\d+), write (\d)", made.turns[-1].thinking, re.MULTILINE)
    assert len(lines) >= 2
    for expression, result, written in lines:
        assert eval(expression) == int(result)
        assert result.endswith(written)


def test_number_pairs_and_range_are_held_out() -> None:
    draw = rng(3)
    train = {arithmetic.operands(draw, "+", Split.TRAIN) for _ in range(3000)}
    test = {arithmetic.operands(draw, "+", Split.NAMES) for _ in range(1000)}
    assert not train & test
    assert not any(a in arithmetic.HELD_RANGE and b in arithmetic.HELD_RANGE for a, b in train)
    assert all(
        a in arithmetic.HELD_RANGE
        for a, b in [arithmetic.operands(draw, "+", Split.RELATIONS) for _ in range(50)]
    )


@given(st.integers(0, 10**6))
def test_word_problems_add_up(seed: int) -> None:
    made = arithmetic.word_problem(rng(seed), Split.TRAIN)
    assert last_number(made.turns[-1].thinking) == made.answer == last_number(made.turns[-1].content)


@given(st.integers(0, 10**6), st.sampled_from([Split.TRAIN, Split.PHRASES]))
def test_tool_calls_fit_the_tools(seed: int, split: Split) -> None:
    made = tools.use_tool(rng(seed), split)
    name, arguments = made.options["tool"], made.options["arguments"]
    assert name in made.tools
    assert tuple(arguments) == BUNDLED_TOOLS[name]
    assert [t.role for t in made.turns] == ["user", "assistant", "tool", "assistant"]
    if name in ("search_files", "web_search", "web_open", "remember"):
        assert next(iter(arguments.values())) in made.turns[0].content


def test_python_answers_are_what_the_code_prints() -> None:
    draw = rng(4)
    for _ in range(60):
        made = tools.python(draw, Split.TRAIN)
        if made.turns[-1].content.startswith("The result is"):
            assert made.turns[2].content in made.turns[-1].content


def test_every_help_question_has_one_answer_and_new_phrasings_are_new() -> None:
    owner: dict[str, str] = {}
    for intent in help.intents():
        train, new = help.questions(intent, Split.TRAIN), help.questions(intent, Split.PHRASES)
        assert train and not set(train) & set(new), intent.id
        for text in {*train, *new}:
            assert owner.setdefault(text, intent.id) == intent.id, text
    assert len(owner) > 5000


def test_help_answers_name_real_commands() -> None:
    from llmos.cli.main import cli

    known = set(cli.list_commands(None))  # type: ignore[arg-type]
    for intent in help.intents():
        for verb in re.findall(r"llmos (\w+)", intent.answer):
            if verb not in ("is", "to"):
                assert verb in known | {"disk", "web", "ram"}, (intent.id, verb)


def test_facts_told_are_asked_and_answered() -> None:
    draw = rng(5)
    for _ in range(80):
        made = memory.told_and_asked(draw, Split.TRAIN)
        assert made.answer in made.turns[-1].content
        assert any(made.answer in t.content for t in made.turns[:-1] if t.role == "user")


def test_refusals_and_unknowns() -> None:
    assert refuse.refuse_harm(rng(), Split.TRAIN).turns[-1].content == refuse.REFUSAL
    assert refuse.not_known(rng(), Split.TRAIN).turns[-1].content == refuse.UNKNOWN
    assert smalltalk.small_talk(rng(), Split.TRAIN).answer


def test_the_mix_is_seeded_and_has_every_kind() -> None:
    kinds = {conversation(rng(n)).kind for n in range(600)}
    assert {"help", "pages", "absent", "tool", "steps", "joined", "told", "refusal"} <= kinds
    assert conversation(rng(7)) == conversation(rng(7))


def test_a_call_is_parsed_and_compared_exactly() -> None:
    made = tools.search_files(rng(2), Split.TRAIN)
    made.options |= {"tool": "search_files", "arguments": {"query": "the plan"}}
    right = '<tool_call>{"name": "search_files", "arguments": {"query": "the plan"}}</tool_call>'
    assert score(made, right) == {"right_tool": 1.0, "exact_call": 1.0, "valid": 1.0}
    assert score(made, right.replace("plan", "plane"))["exact_call"] == 0.0
    assert score(made, "no call") == {"right_tool": 0.0, "exact_call": 0.0, "valid": 0.0}
    assert parse_call("<tool_call>{broken</tool_call>") is None


def test_small_scores() -> None:
    assert visible("<think>\n1\n</think>\nThe answer is 2.") == "The answer is 2."
    assert last_number("7 + 5 = 12.") == "12" and last_number("none") == ""
    assert word_f1("a b", "a b") == 1.0 and word_f1("a", "b") == 0.0


@given(st.integers(0, 200), st.integers(1, 200))
def test_interval_holds_the_share(right: int, count: int) -> None:
    right = min(right, count)
    low, high = wilson(right, count)
    assert 0.0 <= low <= right / count <= high <= 1.0


def test_unknown_abilities_are_refused() -> None:
    from llmos.foundry.evaluate import items

    with pytest.raises(ValueError, match="no ability 'x'"):
        items("x", 1, 1)
