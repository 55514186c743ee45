"""The question sets of the retrieval benchmark, and the copies of the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmos.bench import retrieval_sets as sets
from llmos.bench.retrieval_answers import _holds
from llmos.bench.retrieval_docs import SOME, Remembering, markdown_copy
from llmos.types import UserError


def test_questions_that_are_scored_are_none_of_those_tuned_on() -> None:
    tuned, scored = sets.paraphrases(), sets.paraphrases("paraphrases_held_out")
    assert len(tuned) >= 100 and len(scored) >= 100
    assert not {one.text for one in tuned} & {one.text for one in scored}
    assert all(one.answers and all(file and start for file, start in one.answers) for one in tuned + scored)


def test_no_question_is_the_name_of_a_section() -> None:
    for one in sets.paraphrases("paraphrases_held_out"):
        names = {start.rstrip("(").lower() for _, start in one.answers}
        assert not any(name in one.text.lower() for name in names)


def test_support_cases_hold_both_kinds() -> None:
    for name in ("support", "support_held_out"):
        verdicts = [supported for _, _, supported in sets.support_cases(name)]
        assert {True, False} == set(verdicts)


def test_only_markdown_is_copied_and_what_is_gone_goes(tmp_path: Path) -> None:
    docs, target = tmp_path / "docs", tmp_path / "copy"
    (docs / "deep").mkdir(parents=True)
    (docs / "fs.md").write_text("# fs")
    (docs / "deep" / "zlib.md").write_text("# zlib")
    (docs / "fs.html").write_text("<h1>fs</h1>")
    markdown_copy(docs, target, quick=False)
    assert {str(file.relative_to(target)) for file in target.rglob("*.*")} == {"fs.md", "deep/zlib.md"}
    before = (target / "fs.md").stat().st_mtime_ns
    assert "fs" in SOME
    markdown_copy(docs, target, quick=True)
    assert [file.name for file in target.rglob("*.md")] == ["fs.md"]
    assert (target / "fs.md").stat().st_mtime_ns == before
    with pytest.raises(UserError, match="no Markdown file"):
        markdown_copy(tmp_path / "docs" / "deep", target, quick=True)


def test_each_query_is_embedded_once() -> None:
    asked: list[list[str]] = []

    class Counting:
        name = "counting"

        def embed(self, texts: list[str]) -> list[list[float]]:
            asked.append(list(texts))
            return [[1.0]] * len(texts)

    embedder = Remembering(Counting())
    for _ in range(3):
        assert embedder.embed(["one"]) == [[1.0]]
    embedder.embed(["one", "two"])
    assert asked == [["one"], ["one", "two"]] and embedder.name == "counting"


def test_made_up_documents_hold_their_answers_and_the_questions_do_not() -> None:
    scored = sets.made_up("made_up_held_out")
    assert len(scored) == 100 and len(sets.made_up()) == 20
    assert len({file for file, *_ in scored}) == len({question for _, _, question, _ in scored}) == 100
    assert not {text for _, text, *_ in scored} & {text for _, text, *_ in sets.made_up()}
    for file, text, question, words in scored:
        assert text.startswith("# ") and "\n\n" in text, file
        assert _holds(text.partition("\n\n")[2], words) and not _holds(question, words), file


def test_an_answer_holds_the_fact_as_a_word_of_its_own() -> None:
    assert _holds("It opens at Seven.", ("7", "seven"))
    assert _holds("on 22 March, in the pavilion", ("22 March",))
    assert not _holds("17 or 7.5", ("7",))
