"""Of each passage the sentence that is nearest to the question, for small models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmos_disk.focus import SMALL, sentences
from llmos_disk.retrieval import Retrieval, retrieve
from llmos_disk.service import Disk, DiskSettings

from llmos.types import UserError

NOTE = """# The cabin

Bring wood from the shed behind the house. The key of the shed hangs beside the oven. The water is
turned off in winter.

- The stove burns 12 logs a day.
- Ms. Orrin has the second key.
"""
SMALL_MODEL = 3_000_000


def count(text: str) -> int:
    return len(text) // 4 + 1


def cabin(disk: Disk, tmp_path: Path, name: str = "cabin.md", text: str = NOTE) -> Disk:
    (tmp_path / "cabin").mkdir(exist_ok=True)
    (tmp_path / "cabin" / name).write_text(text)
    disk.add([str(tmp_path / "cabin")])
    disk.index()
    return disk


def ask(
    disk: Disk, question: str = "Where does the key of the shed hang?", parameters: int = SMALL_MODEL
) -> Retrieval:
    return retrieve(disk, question, 500, count, {"retrieve": "always"}, parameters)


def test_a_small_model_gets_the_sentence_with_its_place(disk: Disk, tmp_path: Path) -> None:
    found = ask(cabin(disk, tmp_path))
    (page,) = found.pages
    assert page.text == "The key of the shed hangs beside the oven."
    assert (page.heading, page.location["line"], page.location["end_line"]) == ("The cabin", 3, 3)
    assert "the nearest sentence, for the model is small" in found.why
    assert ask(disk, "How many logs does the stove burn?").pages[0].text == "- The stove burns 12 logs a day."
    assert ask(disk, "How many logs does the stove burn?").pages[0].location["line"] == 6


@pytest.mark.parametrize("parameters", [0, SMALL + 1], ids=["not known", "large"])
def test_other_models_get_passages(disk: Disk, tmp_path: Path, parameters: int) -> None:
    found = ask(cabin(disk, tmp_path), parameters=parameters)
    assert "12 logs" in found.pages[0].text and "nearest sentence" not in found.why


def test_the_setting_decides(make_disk: Callable[..., Disk], tmp_path: Path) -> None:
    never = cabin(make_disk(focus="never"), tmp_path)
    assert "12 logs" in ask(never).pages[0].text
    never.close()
    always = make_disk(focus="always")
    assert ask(always, parameters=0).pages[0].text == "The key of the shed hangs beside the oven."
    with pytest.raises(UserError, match="not valid: focus"):
        DiskSettings.from_mapping({"focus": "sometimes"})


def test_a_file_that_is_mentioned_stays_whole(disk: Disk, tmp_path: Path) -> None:
    page = retrieve(cabin(disk, tmp_path), "sum up @cabin.md", 500, count, parameters=SMALL_MODEL).pages[0]
    assert "12 logs" in page.text


def test_code_and_data_stay_whole(disk: Disk, tmp_path: Path) -> None:
    code = "def key():\n    shed = open()\n    hang(shed)\n    return oven\n"
    found = ask(cabin(disk, tmp_path, "cabin.py", code))
    assert "return oven" in found.pages[0].text


def test_words_decide_where_nothing_embeds(disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cabin(disk, tmp_path)
    monkeypatch.setattr(disk.searcher, "similarities", lambda question, texts: None)
    assert ask(disk).pages[0].text == "The key of the shed hangs beside the oven."


def test_an_embedder_that_fails_is_told_once_and_words_decide(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cabin(disk, tmp_path)
    told: list[str] = []
    embedder = disk.searcher._embedders.current()
    real = embedder.embed

    def embed(texts: list[str]) -> object:
        if len(texts) > 1:
            raise ValueError("broken")
        return real(texts)

    monkeypatch.setattr(embedder, "embed", embed)
    monkeypatch.setattr(disk.searcher, "_notify", told.append)
    assert ask(disk).pages[0].text == "The key of the shed hangs beside the oven."
    assert len(told) == 1 and "broken" in told[0]


@given(st.text(alphabet="ab. !?\n'\"()A9-", max_size=120))
def test_sentences_are_parts_of_the_text_in_their_order(text: str) -> None:
    flat, at = " ".join(text.split()), 0
    for line, sentence in sentences(text):
        place = flat.find(sentence, at)
        assert place >= at and sentence == sentence.strip()
        assert sentence.split()[0] in text.split("\n")[line].split()
        at = place + len(sentence)


def test_a_sentence_goes_on_in_the_next_line(disk: Disk, tmp_path: Path) -> None:
    page = ask(cabin(disk, tmp_path), "When is the water turned off?").pages[0]
    assert (page.text, page.location["line"]) == ("The water is turned off in winter.", 3)


def test_sentences_of_prose_lists_and_quotes() -> None:
    text = 'He said "Stop." Then he left.\n- one item\n- 2 items\n\nVersion 2.5 came.  It (the 3.0) did not.'
    assert sentences(text) == [
        (0, 'He said "Stop."'),
        (0, "Then he left."),
        (1, "- one item"),
        (2, "- 2 items"),
        (4, "Version 2.5 came."),
        (4, "It (the 3.0) did not."),
    ]
