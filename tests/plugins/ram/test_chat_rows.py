"""The branch of a chat is followed by its end, however it moves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import overload

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llmos_ram.chat_rows import ChatRows
from llmos_ram.store import RamStore

from llmos.types import Message


class Branch(Sequence[Message]):
    """Messages of a branch, as the program hands them over: counts how many were read."""

    def __init__(self, messages: list[Message]) -> None:
        self._messages = messages
        self.read = 0

    def __len__(self) -> int:
        return len(self._messages)

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> list[Message]: ...
    def __getitem__(self, index: int | slice) -> Message | list[Message]:
        found = self._messages[index]
        self.read += len(found) if isinstance(found, list) else 1
        return found


class Chat:
    """A chat of made-up messages, its index and the rows that follow it."""

    def __init__(self, store: RamStore) -> None:
        self.rows = ChatRows(store, "c")
        self.messages: list[Message] = []
        self._numbers = count()

    def index(self, messages: Sequence[Message]) -> list[int]:
        for one in messages:
            if one.content and one.id not in self.rows.known:
                self.rows.known[one.id] = next(self._numbers)
        return [self.rows.known[one.id] for one in messages if one.id in self.rows.known]

    def say(self, text: str = "words", *, kept: bool = True) -> None:
        """A message that the plugin hears of; ``kept``: the chat stores it."""
        made = Message("user", text, chat_id="c")
        self.rows.go_on([made], self.index)
        if kept:
            self.messages.append(made)

    def follow(self) -> int:
        """Follow the branch; returns how many messages were read."""
        branch = Branch(self.messages)
        self.rows.follow(branch, self.messages[-1].id if self.messages else None, self.index)
        return branch.read

    def check(self) -> None:
        assert self.rows.branch == {self.rows.known[one.id] for one in self.messages if one.content}
        assert self.rows.leaf == (self.messages[-1].id if self.messages else None)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RamStore]:
    made = RamStore(tmp_path_factory.mktemp("rows") / "ram.db")
    yield made
    made.close()


def test_an_answer_that_no_chat_keeps_costs_no_look_at_the_whole(store: RamStore) -> None:
    chat = Chat(store)
    for _ in range(500):
        chat.say()
    chat.say("", kept=False)  # the model wrote nothing
    assert chat.follow() <= 4
    chat.check()


def test_another_version_of_the_last_answer_takes_the_place_of_the_first(store: RamStore) -> None:
    chat = Chat(store)
    for _ in range(500):
        chat.say()
    chat.messages[-1] = Message("assistant", "another", chat_id="c")
    assert chat.follow() <= 4
    chat.check()


def test_a_chat_that_went_on_elsewhere_is_read_as_far_as_needed(store: RamStore) -> None:
    chat = Chat(store)
    for _ in range(500):
        chat.say()
    chat.messages += [Message("user", f"elsewhere {number}", chat_id="c") for number in range(20)]
    assert chat.follow() <= 4 + 32
    chat.check()


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["say", "empty", "elsewhere", "back", "look"]), st.integers(1, 90)),
        max_size=30,
    )
)
def test_any_way_through_a_chat(tmp_path_factory: pytest.TempPathFactory, moves: list[tuple[str, int]]) -> None:
    store = RamStore(tmp_path_factory.mktemp("any") / "ram.db")
    chat = Chat(store)
    for kind, number in [*moves, ("look", 1)]:
        if kind == "say":
            chat.follow()  # as the plugin does before a message is added
            for _ in range(number):
                chat.say()
        elif kind == "empty":
            chat.say("", kept=False)
        elif kind == "elsewhere":
            chat.messages += [Message("user", "elsewhere", chat_id="c") for _ in range(number)]
        elif kind == "back":
            del chat.messages[-number:]
        else:
            chat.follow()
            chat.check()
    store.close()
