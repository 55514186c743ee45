"""The paging benchmark: what it counts by, and one short dialogue on the whole path."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

from llmos.bench import paging
from llmos.bench.paging_baselines import PlainWords, SlidingWindow
from llmos.bench.paging_nested import DEPTHS, make_chains
from llmos.bench.random_gguf import TINY, write_random_gguf


def test_a_sliding_window_evaluates_all_that_is_left_when_it_slides() -> None:
    window = SlidingWindow(256 + 100)
    for number in range(3):
        window.add((f"line {number}", 22))
    assert window.evaluated == 90
    assert window.holds("line 0")
    window.add(("line 3", 22))
    assert not window.holds("line 0") and window.holds("line 1")
    assert window.evaluated == 180


def test_plain_words_find_within_a_budget() -> None:
    words = PlainWords()
    words.add(("My locker code is 4821.", 9), ("What is my locker code?", 8), ("The sea is calm.", 6))
    assert words.finds("4821", "What is my locker code?", 100)
    assert not words.finds("4821", "What is my locker code?", 20)
    assert not words.finds("4821", "Which digits open it?", 100)
    words.close()


def test_chains_lead_from_key_to_key() -> None:
    chains, pairs = make_chains(random.Random(1))
    values = dict(pairs)
    assert len(values) == len(pairs)
    assert {len(chain) - 2 for chain in chains} == set(DEPTHS)
    for chain in chains:
        for key, value in pairwise(chain):
            assert values[key] == value
        assert chain[-1] not in values


def test_a_short_dialogue_is_measured_on_the_whole_path(tmp_path: Path) -> None:
    model = write_random_gguf(tmp_path / "tiny.gguf", TINY)
    said: list[str] = []
    figures = paging.run(str(model), seeds=1, turns=24, facts=6, long=20, words=1, parts=1, say=said.append)
    found = {one.name: one for one in figures}
    assert found["in the window, asked in the same words"].value == 1.0
    assert all(found[f"nested lookups, depth {depth}"].value == 1.0 for depth in DEPTHS)
    assert found["evaluated to new and recalled tokens"].value >= 0.99
    assert 0 < found["overhead of a turn, median"].value <= found["overhead of a turn, p99"].value
    assert found["memory growth from the second tenth to the last"].unit == "MB"
    assert said[0].startswith("by words alone")
    lines = [line.rpartition(": ") for line in said if line.count(" / ") == 2 and "mean" not in line]
    parts = {name: [float(value) for value in values.split(" / ")] for name, _, values in lines}
    turns, whole = parts["turns"], parts["before evaluation begins"]
    assert turns[0] >= 20 and turns[2] == 1
    assert (
        whole[2] >= whole[0] >= parts["bring pages"][0] > parts["ram: context"][0] > parts["ram: words"][0] > 0
    )
