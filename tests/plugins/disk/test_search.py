"""Fusion, folding, joining, filters."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from llmos_disk import search as search_module
from llmos_disk.query import Filter
from llmos_disk.service import Disk


@pytest.fixture
def library(disk: Disk, tmp_path: Path) -> Disk:
    """Two folders of documents of several types and dates."""
    work, home = tmp_path / "work", tmp_path / "home"
    (work / "reports").mkdir(parents=True)
    home.mkdir()
    (work / "reports" / "walrus.md").write_text("# Walrus\n\nThe walrus budget is large.\n")
    (work / "walrus.txt").write_text("A walrus in plain text.")
    (work / "api.py").write_text(
        "def feed_walrus(fish):\n    return fish\n\n\ndef other():\n    return 'walrus'\n"
    )
    (home / "walrus.html").write_text("<h1>Walrus</h1><p>A walrus page at home.</p>")
    os.utime(work / "walrus.txt", (1_000_000_000, 1_000_000_000))
    disk.add([str(work), str(home)])
    disk.index()
    return disk


def names(disk: Disk, query: str, **options: object) -> set[str]:
    return {hit.passage.relative for hit in disk.search(query, **options).hits}  # type: ignore[arg-type]


def test_filters_by_folder_type_date_and_path(library: Disk) -> None:
    assert names(library, "walrus folder:home") == {"walrus.html"}
    assert names(library, "walrus type:txt") == {"walrus.txt"}
    assert names(library, "walrus type:python") == {"api.py"}
    assert names(library, "walrus before:2002-01-01") == {"walrus.txt"}
    assert names(library, "walrus path:reports") == {"reports/walrus.md"}
    assert names(library, "walrus", within=Filter(folders=("work",), kinds=("md",))) == {"reports/walrus.md"}
    assert names(library, "walrus folder:nowhere") == set()


def test_identifiers_weigh_words_more(library: Disk) -> None:
    found = library.search("feed_walrus")
    assert found.query.identifier and found.hits[0].passage.heading == "def feed_walrus"
    assert found.hits[0].word_rank == 1


def test_modes_and_ranks(library: Disk) -> None:
    dense = library.search("walrus budget", mode="dense").hits
    words = library.search("walrus budget", mode="words").hits
    assert all(hit.dense_rank and not hit.word_rank for hit in dense)
    assert all(hit.word_rank and not hit.dense_rank for hit in words)
    fused = library.search("walrus budget").hits[0]
    assert fused.dense_rank and fused.word_rank and "meaning #" in fused.why() and "words #" in fused.why()


def test_copies_are_folded(library: Disk, tmp_path: Path) -> None:
    text = "The moon landing was on a Sunday. " * 5
    (tmp_path / "home" / "a.md").write_text(f"# One\n\n{text}")
    (tmp_path / "home" / "b.md").write_text(f"# One\n\n{text}\n\n\n")  # other bytes, the same words
    library.index()
    hits = [hit for hit in library.search("moon landing sunday").hits if "moon" in hit.passage.text]
    assert len(hits) == 1


def test_neighbours_are_joined_within_a_section(library: Disk, tmp_path: Path) -> None:
    sentences = "".join(f"The glacier number {n} melts slowly in summer.\n" for n in range(40))
    (tmp_path / "home" / "ice.md").write_text(f"# Ice\n\n{sentences}\n# Fire\n\nThe glacier of fire.\n")
    library.index()
    hits = [h for h in library.search("glacier melts summer", limit=5).hits if h.passage.heading == "Ice"]
    assert len(hits) < len(library.search("glacier melts summer", limit=9, merge=False).hits)
    best = hits[0].passage
    assert best.line == 3 and best.end_line - best.line + 1 == best.text.count("\n") + 1
    assert len(best.text) <= search_module.JOINED


def test_large_filters_go_through_chroma(library: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert library.search("walrus folder:work").exact
    monkeypatch.setattr(search_module, "EXACT", 0)
    found = library.search("walrus folder:work")
    assert not found.exact and {hit.passage.folder for hit in found.hits} == {"work"}


def test_empty_and_odd_queries(library: Disk) -> None:
    assert library.search("").hits == ()
    assert library.search('"*" OR NEAR( ) ^:').hits is not None
    assert library.search("zzzzqqq", mode="words").hits == ()


def test_an_embedder_that_fails_leaves_words(make_disk: Callable[..., Disk], docs: Path, disk: Disk) -> None:
    disk.add([str(docs)])
    disk.index()
    disk.embedders.all.clear()  # type: ignore[attr-defined]
    found = disk.search("tomatoes")
    assert not found.dense and found.hits[0].passage.relative == "garden.md"


def test_common_words_are_left_to_the_vectors(
    library: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        (tmp_path / "home" / f"{number}.md").write_text(f"# N{number}\n\nThe lamp of room {number} glows.\n")
    (tmp_path / "home" / "odd.md").write_text("# Odd\n\nThe lamp-room of the lighthouse is locked.\n")
    library.index()
    monkeypatch.setattr(search_module, "COMMON_FLOOR", 3)
    asked: list[str] = []
    word_hits = library.store.word_hits

    def noted(expression: str, *rest: object) -> list[tuple[int, float]]:
        asked.append(expression)
        return word_hits(expression, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(library.store, "word_hits", noted)
    library.search("lamp in the lighthouse")
    library.search("lamp in the lighthouse", mode="words")
    library.search("lamp-room lighthouse")
    library.search("lamp room")
    assert asked == ['"lighthouse"', '"lamp" OR "lighthouse"', '"lighthouse"']
    library.search("lamp_room()")  # a name: its words side by side count, however common
    assert asked[3:] == ['"lamp room"']
    library.embedders.all.clear()  # type: ignore[attr-defined]
    assert library.search("lamp room").hits  # without vectors every word counts


def test_what_stands_around_a_passage_counts(library: Disk) -> None:
    import numpy as np

    searcher = library.searcher
    active = searcher._keeper.active()
    assert active is not None
    rows = library.store.scope_vectors(active[0], "", ())
    names = {row: library.store.passages([row])[row] for row, _ in rows}
    api = sorted(row for row, passage in names.items() if passage.relative == "api.py")
    assert len(api) == 2
    assert {owner for owner, _ in library.store.vectors_around(active[0], api, 3)} == set(api)
    # Each stands under a heading of its own, so that each is its own surroundings alone.
    assert len(library.store.vectors_around(active[0], api, 3)) == 2
    vector = np.frombuffer(rows[0][1], dtype=np.float16)
    dense = [(row, 0.5) for row, _ in rows]
    order = searcher._in_context(vector, dense)
    assert order[0] == (rows[0][0], 0.5) and sorted(order) == sorted(dense)
