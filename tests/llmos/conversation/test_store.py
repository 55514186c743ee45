from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.conversation.database import StoreError
from llmos.conversation.records import PageState
from llmos.conversation.search import MATCH_OPEN, match_expression
from llmos.conversation.store import Store
from llmos.types import Confidentiality, Integrity, Labels, Message, Page, ToolCall

TAINTED = Labels(frozenset({"url:https://a.example"}), Integrity.UNTRUSTED, Confidentiality.PUBLIC)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "chats.db")


def grow(store: Store, chat_id: str, *texts: str, parent: str | None = None) -> list[Message]:
    """A branch of alternating messages."""
    made = []
    for place, text in enumerate(texts):
        role = "user" if place % 2 == 0 else "assistant"
        message = Message(role, text, chat_id=chat_id, parent_id=parent)
        store.add_message(message)
        made.append(message)
        parent = message.id
    return made


def test_a_message_comes_back_as_it_was(store: Store) -> None:
    chat = store.create_chat()
    page = Page("passage", kind="passage", labels=TAINTED, source="a.md", heading="A > B", number=3)
    page.location = {"path": "/a.md", "line": 4}
    user = Message("user", "héllo 🙂 \u202e", chat_id=chat.id, pages=(page,), labels=TAINTED)
    store.add_message(user)
    call = ToolCall("python", {"code": "print(1)"})
    answer = Message("assistant", "x", chat_id=chat.id, parent_id=user.id, thinking="hm", tool_calls=(call,))
    answer.stats = {"tokens": 3, "nested": {"a": [1, 2]}}
    store.add_message(answer)
    first, second = store.branch(chat.id)
    assert (first.content, first.labels) == (user.content, TAINTED)
    assert first.pages[0].text == "passage"
    assert first.pages[0].labels == TAINTED
    assert first.pages[0].location == {"path": "/a.md", "line": 4}
    assert (first.pages[0].number, first.pages[0].heading) == (3, "A > B")
    assert second.tool_calls == (call,)
    assert second.stats == answer.stats
    assert second.thinking == "hm"


def test_lone_surrogates_and_nul_do_not_stop_a_message(store: Store) -> None:
    chat = store.create_chat()
    store.add_message(Message("user", "a\ud800b\0c", chat_id=chat.id))
    assert store.branch(chat.id)[0].content == "a?bc"


def test_branches_share_their_beginning(store: Store) -> None:
    chat = store.create_chat()
    one = grow(store, chat.id, "q1", "a1", "q2", "a2")
    other = grow(store, chat.id, "q2 changed", "a2 changed", parent=one[1].id)
    assert [m.content for m in store.branch(chat.id)] == ["q1", "a1", "q2 changed", "a2 changed"]
    assert [m.content for m in store.branch(chat.id, one[3].id)] == ["q1", "a1", "q2", "a2"]
    assert [m.id for m in store.children(chat.id, one[1].id)] == [one[2].id, other[0].id]
    assert store.sibling_ids(chat.id) == {one[1].id: [one[2].id, other[0].id]}
    assert store.last_descendant(one[2].id) == one[3].id
    assert store.last_descendant(one[0].id) == other[1].id
    assert store.count_branch(one[3].id) == 4
    assert [m.content for m in store.branch(chat.id, limit=2)] == ["q2 changed", "a2 changed"]
    assert len(store.all_messages(chat.id)) == 6


def test_evicted_messages_can_be_left_out(store: Store) -> None:
    chat = store.create_chat()
    made = grow(store, chat.id, "q1", "a1", "q2")
    store.set_page_states(chat.id, [PageState(made[0].id, True), PageState(made[1].id, False, True)])
    assert [m.content for m in store.branch(chat.id, swapped=False)] == ["a1", "q2"]
    states = store.page_states(chat.id)
    assert states[made[0].id].swapped
    assert states[made[1].id].pinned


def test_deleting_the_last_message_moves_the_leaf_to_its_parent(store: Store) -> None:
    chat = store.create_chat()
    made = grow(store, chat.id, "q1", "a1", "q2")
    store.delete_message(made[2].id)
    assert [m.content for m in store.branch(chat.id)] == ["q1", "a1"]
    assert store.search("q2") == []


def test_the_trash_hides_and_gives_back(store: Store) -> None:
    chat = store.create_chat("Trash me")
    grow(store, chat.id, "needle here")
    store.delete_chat(chat.id)
    assert store.list_chats() == []
    assert store.search("needle") == []
    assert [hit.chat.id for hit in store.search("needle", trash=True)] == [chat.id]
    assert [one.id for one in store.list_chats(trash=True)] == [chat.id]
    with pytest.raises(StoreError, match="No chat is called"):
        store.find_chat("Trash me")
    store.restore_chat(chat.id)
    assert store.find_chat("trash ME").id == chat.id
    store.erase_chat(chat.id)
    assert store.chat(chat.id) is None
    assert store.search("needle", trash=True) == []


def test_only_old_trash_is_emptied(store: Store) -> None:
    old, new = store.create_chat("old"), store.create_chat("new")
    for chat in (old, new):
        store.delete_chat(chat.id)
    store.database.execute("UPDATE chats SET deleted_at = 1 WHERE id = ?", (old.id,))
    assert store.empty_trash() == 1
    assert [one.title for one in store.list_chats(trash=True)] == ["new"]


def test_order_pins_tags_and_titles(store: Store) -> None:
    first, second = store.create_chat("First"), store.create_chat("100% second")
    grow(store, second.id, "x")
    assert [c.title for c in store.list_chats()] == ["100% second", "First"]
    store.pin_chat(first.id)
    assert [c.title for c in store.list_chats()] == ["First", "100% second"]
    store.tag_chat(first.id, ["b", " a ", "a", ""])
    assert store.list_chats(tag="a")[0].tags == ("a", "b")
    assert store.all_tags() == ["a", "b"]
    assert [c.title for c in store.list_chats(title="0% s")] == ["100% second"]
    assert store.list_chats(title="_irst") == []
    assert store.latest_chat() is not None
    assert store.latest_chat().id == second.id  # the empty one has nothing to go on with
    assert store.count_chats() == 2


def test_the_users_title_is_never_overwritten(store: Store) -> None:
    chat = store.create_chat()
    store.rename_chat(chat.id, "auto", by="auto")
    store.rename_chat(chat.id, "mine")
    store.rename_chat(chat.id, "auto again", by="auto")
    assert store.chat(chat.id).title == "mine"


def test_find_refuses_what_is_not_clear(store: Store) -> None:
    store.create_chat("same", chat_id="aaaa1111")
    store.create_chat("same", chat_id="aaaa2222")
    assert store.find_chat("aaaa1").id == "aaaa1111"
    for name in ("same", "aaaa"):
        with pytest.raises(StoreError, match="Several"):
            store.find_chat(name)
    with pytest.raises(StoreError, match="No chat"):
        store.find_chat("aa")


def test_drafts_and_settings(store: Store) -> None:
    chat = store.create_chat()
    store.save_draft(chat.id, "half a thou")
    assert store.draft(chat.id) == "half a thou"
    store.save_draft(chat.id, "")
    assert store.draft(chat.id) == ""
    store.set_chat_setting(chat.id, "temperature", 0.2)
    store.set_chat_setting(chat.id, "tools", ["a"])
    assert store.chat_settings(chat.id) == {"temperature": 0.2, "tools": ["a"]}
    store.set_chat_setting(chat.id, "temperature", None)
    assert store.chat_settings(chat.id) == {"tools": ["a"]}


def test_search_finds_words_phrases_and_beginnings(store: Store) -> None:
    chat = store.create_chat("Zoo")
    grow(store, chat.id, "The zebras were running fast", "Elephants never ran")
    hit = store.search("zebra")[0]
    assert f"{MATCH_OPEN}zebras" in hit.snippet
    assert [h.message.role for h in store.search("run")] == ["user"]
    assert store.search('"running zebras"') == []
    assert len(store.search('"zebras were"')) == 1
    assert len(store.search("zebra nothing", any_word=True)) == 1
    assert store.search("zebra nothing") == []
    assert store.search("eleph", chat_id="other") == []
    assert store.search("  ") == []


def test_search_follows_changes_of_a_message(store: Store) -> None:
    chat = store.create_chat()
    message = grow(store, chat.id, "alpha")[0]
    message.content = "omega"
    store.update_message(message)
    assert store.search("alpha") == []
    assert len(store.search("omega")) == 1


@given(st.text(max_size=60))
def test_no_query_is_read_as_syntax(query: str) -> None:
    store = Store(None)
    chat = store.create_chat()
    store.add_message(Message("user", "some words", chat_id=chat.id))
    store.search(query)
    store.search(query, any_word=True)
    store.close()


def test_a_quote_that_is_not_closed_is_no_phrase() -> None:
    assert match_expression('say "hello wor') == '"say" AND "hello" AND "wor" *'
    assert match_expression("one two ") == '"one" AND "two"'


def test_everything_of_one_transaction_or_nothing(store: Store) -> None:
    chat = store.create_chat()
    with pytest.raises(RuntimeError), store.database.transaction():
        grow(store, chat.id, "never")
        raise RuntimeError
    assert store.branch(chat.id) == []
    assert store.chat(chat.id).leaf_id is None


async def test_work_runs_on_the_stores_own_thread(store: Store) -> None:
    import threading

    name = await store.run(lambda: threading.current_thread().name)
    assert name.startswith("llmos-store")


def test_a_deep_branch_is_read_in_order(store: Store) -> None:
    chat = store.create_chat()
    with store.database.transaction():
        grow(store, chat.id, *(f"m{n}" for n in range(2_000)))
    assert [m.content for m in store.branch(chat.id)] == [f"m{n}" for n in range(2_000)]
