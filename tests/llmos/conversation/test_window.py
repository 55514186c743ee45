from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from llmos.conversation.records import PageState
from llmos.conversation.window import Window, estimate_tokens
from llmos.types import Integrity, Labels, Message, Page, ToolCall

UNTRUSTED = Labels(frozenset({"file:/a"}), Integrity.UNTRUSTED)


def passage(text: str, number: int = 0, **values: object) -> Page:
    return Page(text, kind="passage", labels=UNTRUSTED, source="a.md", number=number, **values)  # type: ignore[arg-type]


def chat(*turns: str) -> list[Message]:
    """Messages from roles: ``u`` user, ``a`` answer, ``c`` answer with a call, ``t`` tool result."""
    made = []
    for place, turn in enumerate(turns):
        kind = turn[0]
        role = {"u": "user", "a": "assistant", "c": "assistant", "t": "tool"}[kind]
        message = Message(role, f"{turn} {place}", id=f"m{place}")  # type: ignore[arg-type]
        if kind == "c":
            message.tool_calls = (ToolCall("f", {}),)
        made.append(message)
    return made


def filled(*turns: str) -> Window:
    window = Window("c")
    window.fill(chat(*turns), {})
    for page in window.pages:
        page.tokens = 10
    return window


def test_pages_stand_before_the_question_with_their_marks() -> None:
    window = Window("c")
    window.set_system("Be kind.")
    message = Message("user", "What?", pages=tuple(window.number([passage("One."), passage("Two.")])))
    window.append(message)
    system, user = window.messages()
    assert system.content == "Be kind."
    assert user.content == "[1] a.md\nOne.\n\n[2] a.md\nTwo.\n\nWhat?"
    assert user.pages == ()
    assert window.cited(2) is not None
    assert window.cited(2).text == "Two."
    assert window.cited(3) is None


def test_marks_are_unique_and_a_known_passage_keeps_its_own() -> None:
    window = Window("c")
    first = window.number([passage("One."), passage("Two.")])
    window.append(Message("user", "q", pages=tuple(first)))
    second = window.number([passage("Three."), passage("One.")])
    assert [page.number for page in second] == [3, 1]
    assert len({page.id for page in (*first, *second)}) == 4


def test_a_memory_that_is_in_the_window_is_not_brought_again() -> None:
    window = Window("c")
    memory = Page("The key is blue.", kind="memory", source="memory")
    window.append(Message("user", "q", pages=tuple(window.number([memory]))))
    assert window.number([memory]) == []


def test_a_recalled_message_is_a_page_of_its_own() -> None:
    window = filled("u", "a", "u")
    window.evict(["m0"], 1, window.candidates("m2"), "m2")
    recalled = Page("u 0", "message", id="m0", message_id="m0", source="earlier")
    brought = window.number([recalled])
    assert [(page.id == "m0", page.message_id) for page in brought] == [(False, "m0")]
    present = Page("u 2", "message", id="m2", message_id="m2", source="earlier")
    assert window.number([present]) == []


def test_what_is_added_leaves_what_was_there_untouched() -> None:
    window = filled("u", "a")
    before = window.messages()
    window.append(Message("user", "next", pages=tuple(window.number([passage("P")]))))
    assert window.messages()[: len(before)] == before


def test_the_oldest_go_first_and_only_as_many_as_needed() -> None:
    window = filled("u", "a", "u", "a", "u")
    gone = window.evict([], 12, window.candidates("m4"), "m4")
    assert [page.id for page in gone] == ["m0", "m1"]
    assert [page.id for page in window.pages] == ["m2", "m3", "m4"]


def test_an_order_is_followed_and_its_rest_filled_up() -> None:
    window = filled("u", "a", "u", "a", "u")
    gone = window.evict(["m2", "nobody"], 40, window.candidates("m4"), "m4")
    assert "m2" in [page.id for page in gone]
    assert [page.id for page in window.pages] == ["m4"] or len(window.pages) <= 3


def test_a_call_goes_with_its_result() -> None:
    for first in ("m1", "m2", "m3"):
        window = filled("u", "c", "t", "t", "a", "u")
        gone = window.evict([first], 1, window.candidates("m5"), "m5")
        assert {"m1", "m2", "m3"} <= {page.id for page in gone}


def test_passages_go_with_their_message_but_can_go_alone() -> None:
    messages = chat("u", "a", "u")
    messages[0].pages = (passage("P", 1, id="p1"), passage("Q", 2, id="p2"))
    window = Window("c")
    window.fill(messages, {})
    assert [p.id for p in window.evict(["p2"], 1, window.candidates("m2"), "m2")] == ["p2"]
    assert "[1] a.md" in window.messages()[0].content
    gone = window.evict(["m0"], 1, window.candidates("m2"), "m2")
    assert [page.id for page in gone] == ["p1", "m0", "m1"]


def test_neighbours_of_one_role_are_joined() -> None:
    window = filled("u", "a", "u", "a", "u")
    window.evict(["m1"], 1, window.candidates("m4"), "m4")
    assert [m.role for m in window.messages()] == ["user", "assistant", "user"]
    assert window.messages()[0].content == "u 0\n\nu 2"


def test_states_are_applied_when_filled() -> None:
    messages = chat("u", "a", "u")
    messages[2].pages = (passage("P", 1, id="p1"),)
    states = {name: PageState(name, True) for name in ("m0", "m1", "p1")}
    states["m2"] = PageState("m2", False, True)
    window = Window("c")
    window.fill(messages, states)
    assert [page.id for page in window.pages] == ["m2"]
    assert window.pages[0].pinned


def test_a_tools_text_that_repeats_its_passages_is_not_read_twice() -> None:
    window = Window("c")
    found = window.number([passage("One fact."), passage("Two facts.")])
    text = "a.md: One fact.\na.md: Two facts."
    window.append(Message("tool", text, name="search", pages=tuple(found)))
    assert window.messages()[0].content == "[1] a.md\nOne fact.\n\n[2] a.md\nTwo facts."
    other = Window("c")
    other.append(Message("tool", "2 found", name="search", pages=tuple(other.number(found))))
    assert other.messages()[0].content.startswith("2 found\n\n[1] a.md")


def test_thoughts_are_never_fed_back() -> None:
    window = Window("c")
    window.fill([Message("user", "q"), Message("assistant", "a", thinking="secret thoughts")], {})
    assert all("secret" not in m.content + m.thinking for m in window.messages())


TURNS = st.lists(st.sampled_from(["u", "a", "c", "t"]), min_size=1, max_size=24)


@given(TURNS, st.data())
def test_whatever_is_evicted_the_window_stays_a_conversation(turns: list[str], data: st.DataObject) -> None:
    valid: list[str] = ["u"]
    for turn in turns:  # a tool result only after a call, a user's message between answers
        if turn == "t" and valid[-1] not in ("c", "t"):
            turn = "u"
        if valid[-1] == "c":
            turn = "t"
        valid.append(turn)
    valid.append("u")
    window = filled(*valid)
    last = f"m{len(valid) - 1}"
    pinned = data.draw(st.sets(st.sampled_from([page.id for page in window.pages]), max_size=3))
    for page in window.pages:
        page.pinned = page.id in pinned
    everything = {page.id for page in window.pages}
    used = window.tokens_used()
    need = data.draw(st.integers(0, 300))
    order = data.draw(st.lists(st.sampled_from(sorted(everything)), max_size=8))
    gone = {page.id for page in window.evict(order, need, window.candidates(last), last)}
    left = {page.id for page in window.pages}
    assert gone.isdisjoint(left)
    assert gone | left == everything
    assert pinned <= left
    assert last in left
    freed = used - window.tokens_used()
    assert freed >= need or not [p for p in window.candidates(last) if p.id not in pinned] or pinned
    roles = [message.role for message in window.messages()]
    for before, after in itertools.pairwise(roles):
        assert not (before == after == "user")
    if not pinned:
        assert roles[0] == "user"
        held = {slot.message.id for slot in window.slots}
        for place, turn in enumerate(valid):
            if turn == "c" and f"m{place}" in held and place + 1 < len(valid) and valid[place + 1] == "t":
                assert f"m{place + 1}" in held


@given(st.text())
def test_an_estimate_is_never_zero(text: str) -> None:
    assert estimate_tokens(text) >= 1
