"""Prefix reuse and freeing, against a model of the cache that only counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.kernel.sequences import SequenceTable, common_prefix


class FakeCache:
    """Stands for llama.cpp's memory: which positions each sequence holds. Counts evaluations saved."""

    def __init__(self, partial: bool = True) -> None:
        self.partial_removal = partial
        self.held: dict[int, int] = {}

    def remove(self, sequence: int, start: int = 0, end: int = -1) -> bool:
        if start and not self.partial_removal:
            return False
        self.held[sequence] = min(self.held.get(sequence, 0), start)
        return True

    def copy(self, source: int, target: int, end: int = -1) -> None:
        self.held[target] = self.held.get(source, 0) if end < 0 else end


tokens = st.lists(st.integers(0, 2), max_size=40)


@given(tokens, tokens)
def test_common_prefix(first: list[int], second: list[int]) -> None:
    expected = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        expected += 1
    assert common_prefix(first, second) == expected


@given(
    st.lists(st.tuples(st.integers(0, 5), st.lists(st.integers(0, 1), min_size=1, max_size=60)), max_size=25)
)
def test_any_order_of_turns_keeps_the_books(turns: list[tuple[int, list[int]]]) -> None:
    cache = FakeCache()
    table = SequenceTable(cache, 3)
    for name, prompt in turns:
        slot = table.claim(f"s{name}")
        assert slot is not None
        kept = table.reuse(slot, prompt)
        assert kept < len(prompt)
        assert slot.tokens == prompt[:kept]
        assert cache.held.get(slot.number, 0) == kept
        table.append(slot, prompt[kept:])
        cache.held[slot.number] = len(prompt)
        assert slot.tokens == prompt and len(slot.cells) == len(prompt)
    total = sum(len(slot.tokens) for slot in table.named())
    assert table.cells_used <= total


def test_least_used_goes_first_and_busy_ones_stay() -> None:
    table = SequenceTable(FakeCache(), 2)
    first, second = table.claim("a"), table.claim("b")
    assert first and second
    first.busy = 1
    third = table.claim("c")
    assert third is second and table.find("b") is None
    third.busy = 1
    assert table.claim("d") is None
    assert not table.free_least_used()


def test_a_shared_prefix_counts_once() -> None:
    table = SequenceTable(FakeCache(), 2)
    source, target = table.claim("a"), table.claim("b")
    assert source and target
    table.append(source, range(30))
    table.fork(source, target)
    assert table.cells_used == 30
    table.append(target, [1, 2])
    assert table.cells_used == 32
    table.free(source)
    assert table.cells_used == 32


@pytest.mark.parametrize("partial", [True, False])
def test_models_that_cannot_forget_a_part_start_over(partial: bool) -> None:
    table = SequenceTable(FakeCache(partial), 2)
    slot = table.claim("a")
    assert slot
    table.append(slot, range(30))
    assert table.reuse(slot, [*range(20), 99, 98]) == (20 if partial else 0)
    longer = [*slot.tokens, 7, 8]
    assert table.reuse(slot, longer) == len(longer) - 2  # growing needs no forgetting
