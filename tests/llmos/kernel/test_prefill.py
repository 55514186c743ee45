"""How the room of one step is shared out among prompts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llmos.kernel.prefill import shared_out


@given(st.lists(st.integers(1, 500), max_size=12), st.integers(1, 200))
def test_the_room_is_used_and_not_exceeded(left: list[int], room: int) -> None:
    given_out = shared_out(left, room)
    assert sum(given_out) == min(room, sum(left))
    assert all(0 <= got <= wanted for got, wanted in zip(given_out, left, strict=True))


@given(st.lists(st.integers(1, 500), min_size=1, max_size=12), st.integers(1, 200))
def test_the_oldest_is_never_held_up(left: list[int], room: int) -> None:
    assert shared_out(left, room)[0] >= min(left[0], (room + 1) // 2)


def test_short_prompts_are_read_together() -> None:
    assert shared_out([1, 1, 1, 1, 1, 1, 1], 64) == [1] * 7
    assert shared_out([20, 20, 20, 20], 64) == [20, 20, 20, 4]


def test_a_short_prompt_beside_a_long_one() -> None:
    assert shared_out([1000, 20], 64) == [44, 20]
    assert shared_out([1000, 500, 20], 64) == [32, 12, 20]


def test_prompts_of_one_length_are_read_one_after_the_other() -> None:
    assert shared_out([500, 500, 500], 64) == [64, 0, 0]
    assert shared_out([436, 500, 500], 64) == [64, 0, 0]
