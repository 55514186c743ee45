from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.conversation.store import Store
from llmos.conversation.titles import LONGEST, give_title, title_from
from llmos.types import Message
from tests.helpers.fake_kernel import FakeKernel, Script


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Hello", "Hello"),
        ("Hi, can you please explain tides? Thanks.", "Explain tides?"),
        ("\n\n# A heading\nmore", "A heading"),
        ("could you", "Could you"),
        ("why is the sky blue when the sun goes down behind the mountains", None),
        ("x" * 200, None),
        ("   ", ""),
    ],
)
def test_titles_from_first_words(text: str, title: str | None) -> None:
    made = title_from(text)
    if title is not None:
        assert made == title
    assert len(made) <= LONGEST
    if title is None:
        assert made.endswith("…")


@given(st.text())
def test_any_text_gives_one_short_line(text: str) -> None:
    made = title_from(text)
    assert len(made) <= LONGEST + 4  # a capital may be two letters
    assert "\n" not in made


async def titled(kernel: FakeKernel, how: str = "auto", title: str = "") -> str:
    store = Store(None)
    chat = store.create_chat(title)
    user = Message("user", "Tell me about tides", chat_id=chat.id)
    given_title = await give_title(store, kernel, chat.id, user, Message("assistant", "They rise."), how)
    assert store.chat(chat.id).title == given_title
    return given_title


async def test_a_small_model_is_not_asked() -> None:
    kernel = FakeKernel(["should not be asked"])
    assert await titled(kernel) == "Tell me about tides"
    assert kernel.requests == []


async def test_a_large_model_writes_the_title_in_the_background() -> None:
    kernel = FakeKernel(['<think>hm</think>"Title: The Tides."\nmore'], parameters=1_000_000_000)
    assert await titled(kernel) == "The Tides"
    assert kernel.requests[0].priority == "background"
    assert not kernel.requests[0].keep
    assert await titled(FakeKernel(["x"], parameters=1_000_000_000), "heuristic") == "Tell me about tides"


async def test_a_model_that_fails_leaves_the_first_words() -> None:
    for script in (Script(error="no"), Script("ab", die_after=0), Script("")):
        assert await titled(FakeKernel([script], parameters=1_000_000_000)) == "Tell me about tides"


async def test_no_title_where_none_is_wanted_or_one_is_there() -> None:
    assert await titled(FakeKernel(), "off") == ""
    assert await titled(FakeKernel(), title="Mine") == "Mine"


async def test_what_a_face_called_a_chat_for_the_moment_is_made_better_once() -> None:
    store = Store(None)
    chat = store.create_chat()
    store.rename_chat(chat.id, "Please tell me about ti", by="auto")
    first = Message("user", "Please tell me about tides", chat_id=chat.id)
    assert await give_title(store, FakeKernel(), chat.id, first, first, "auto") == "Tell me about tides"
    later = Message("user", "And the moon?", chat_id=chat.id, parent_id=first.id)
    assert await give_title(store, FakeKernel(), chat.id, later, later, "auto") == "Tell me about tides"
