"""Whether a question needs the files, which passages enter, and how they are labelled and fitted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from llmos_disk.decide import worth_searching
from llmos_disk.retrieval import retrieve
from llmos_disk.service import Disk

from llmos.types import Confidentiality, Integrity


def count(text: str) -> int:
    return len(text) // 4 + 1


@pytest.fixture
def indexed(disk: Disk, docs: Path, tmp_path: Path) -> Disk:
    (tmp_path / "press").mkdir()
    (tmp_path / "press" / "zeppelin.md").write_text("# Zeppelin\n\nThe zeppelin leaves at noon.\n")
    disk.add([str(docs)])
    disk.add([str(tmp_path / "press")], public=True, trusted=True)
    disk.index()
    return disk


def test_auto_finds_what_the_files_answer(indexed: Disk) -> None:
    result = retrieve(indexed, "When do tomatoes want water?", 500, count)
    page = result.pages[0]
    assert (page.source, page.heading, page.location["line"]) == ("garden.md", "Garden > Tomatoes", 7)
    assert "speak to it" in result.why and "meaning #1" in page.reason
    assert page.kind == "passage" and page.number == 0 and page.location["path"].endswith("/docs/garden.md")


def test_labels_follow_the_folder(indexed: Disk) -> None:
    private = retrieve(indexed, "When do tomatoes want water?", 500, count).pages[0].labels
    assert (private.integrity, private.confidentiality) == (Integrity.UNTRUSTED, Confidentiality.PRIVATE)
    public = retrieve(indexed, "When does the zeppelin leave?", 500, count).pages[0].labels
    assert (public.integrity, public.confidentiality) == (Integrity.TRUSTED, Confidentiality.PUBLIC)
    assert next(iter(public.origins)).startswith("file:/")


@pytest.mark.parametrize(
    "question", ["hello", "Thanks!", "what is 17 * 23?", "12+5=", "how are you?", "???", "ok"]
)
def test_auto_does_not_search_for_small_talk_and_sums(question: str) -> None:
    assert worth_searching(question)


def test_auto_brings_nothing_when_nothing_is_close(indexed: Disk) -> None:
    result = retrieve(indexed, "Compose a poem about the ocean and moonlight", 500, count)
    assert not result.pages and "close enough" in result.why


def test_modes(make_disk: Callable[..., Disk], indexed: Disk) -> None:
    never = retrieve(indexed, "When do tomatoes want water?", 500, count, {"retrieve": "never"})
    assert not never.pages and "switched off" in never.why
    always = retrieve(indexed, "Compose a poem about the ocean", 500, count, {"retrieve": "always"})
    assert always.pages and "set to always" in always.why


def test_a_mentioned_folder_scopes_and_a_mentioned_file_is_attached_whole(indexed: Disk) -> None:
    scoped = retrieve(indexed, "when does it leave? @press", 500, count, {"retrieve": "never"})
    assert {page.source for page in scoped.pages} == {"zeppelin.md"}
    whole = retrieve(indexed, "sum this up @garden.md", 500, count)
    assert [page.heading for page in whole.pages] == ["Garden", "Garden > Tomatoes", "Garden > Beans"]
    assert "attached whole" in whole.why
    part = retrieve(indexed, "tomatoes @garden.md", 70, count)  # it does not fit whole
    assert {page.source for page in part.pages} == {"garden.md"} and len(part.pages) < 3
    options = retrieve(indexed, "sum this up", 500, count, {"files": ["garden.md"]})
    assert len(options.pages) == 3


def test_the_budget_holds_and_the_first_passage_is_cut_rather_than_lost(disk: Disk, tmp_path: Path) -> None:
    folder = tmp_path / "long"
    folder.mkdir()
    (folder / "walrus.md").write_text("# Walrus\n\n" + "The walrus eats fish every single day. " * 20)
    disk.add([str(folder)])
    disk.index()
    result = retrieve(disk, "What does the walrus eat every day?", 120, count)
    assert len(result.pages) == 1 and result.pages[0].text.endswith("…")
    assert count(result.pages[0].text) <= 120
    assert not retrieve(disk, "What does the walrus eat every day?", 20, count).pages


def test_the_record_of_a_retrieval_is_plain_data(indexed: Disk) -> None:
    import json

    data = retrieve(indexed, "When do tomatoes want water?", 500, count).as_dict()
    assert json.loads(json.dumps(data))["passages"][0]["location"]["line"] == 7
