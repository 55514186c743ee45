from __future__ import annotations

import random
from pathlib import Path

import pytest
from llmos_ram import page_words
from llmos_ram.eviction import eviction_order, worth
from llmos_ram.pager import Pager
from llmos_ram.words import ANSWERS, TELLS, is_small_talk

from llmos.plugins import Turn
from llmos.plugins.hookspecs import EVICT_ONLY_IF_NEEDED
from llmos.types import SYSTEM_LABELS, Confidentiality, Integrity, Labels, Message, Page

from .conftest import FakeHost


def chat(*texts: str) -> list[Message]:
    return [
        Message("user" if index % 2 == 0 else "assistant", text, chat_id="c", created_at=1000.0 + index)
        for index, text in enumerate(texts)
    ]


def said(pager: Pager, messages: list[Message]) -> None:
    for index in range(0, len(messages) - 1, 2):
        pager.turn_done(Turn("c", messages[index], messages[index + 1], messages[:index]))


HISTORY = [
    "My locker code is 4821.", "Noted.",
    "The cat is called Mia.", "A nice name.",
    "What is the tallest hill?", "I do not know.",
    "hello", "Hi.",
]  # fmt: skip


def test_an_evicted_fact_comes_back_before_the_question(pager: Pager) -> None:
    messages = chat(*HISTORY)
    said(pager, messages)
    turn = Turn("c", Message("user", "Do you know my locker code?"), messages=messages, budget=300, window=[])
    pages = pager.context(turn)
    assert pages[0].text == "My locker code is 4821."
    assert pages[0].message_id == messages[0].id
    assert "you said earlier" in pages[0].source
    assert pages[0].labels == messages[0].labels


def test_what_is_in_the_window_is_not_brought_again(pager: Pager) -> None:
    messages = chat(*HISTORY)
    said(pager, messages)
    window = [Page(one.content, message_id=one.id) for one in messages]
    turn = Turn("c", Message("user", "my locker code?"), messages=messages, budget=300, window=window)
    assert pager.context(turn) == []


def test_the_budget_bounds_what_comes(pager: Pager, host: FakeHost) -> None:
    messages = chat(*[text for n in range(40) for text in (f"The code of locker {n} is {n * 7}.", "Noted.")])
    said(pager, messages)
    for budget in (0, 20, 60, 200):
        turn = Turn("c", Message("user", "What is the locker code?"), messages=messages, budget=budget)
        pages = pager.context(turn)
        assert sum(host.count_tokens(page.text) for page in pages) <= budget
        assert pages or budget < 60
    assert len(pages) >= 3


def test_only_the_current_branch_is_recalled(pager: Pager) -> None:
    messages = chat(*HISTORY)
    said(pager, messages)
    other = chat("The cat Mia sleeps in my locker.", "A nice place.")
    turn = Turn("c", Message("user", "my locker code?"), messages=other, budget=300)
    assert [page.text for page in pager.context(turn)][:1] == ["The cat Mia sleeps in my locker."]
    assert all("4821" not in page.text for page in pager.context(turn))
    back = Turn("c", Message("user", "my locker code?"), messages=messages, budget=300)
    assert pager.context(back)[0].text == "My locker code is 4821."


def test_a_newer_fact_comes_before_the_older_one(pager: Pager) -> None:
    messages = chat(
        "My locker code is 4821.", "Noted.", "I like tea.", "Good.", "My locker code is now 9134.", "Noted."
    )
    said(pager, messages)
    pages = pager.context(Turn("c", Message("user", "What is my locker code?"), messages=messages, budget=300))
    texts = [page.text for page in pages]
    assert texts.index("My locker code is now 9134.") < texts.index("My locker code is 4821.")


def test_labels_survive_eviction_and_recall(pager: Pager) -> None:
    labels = Labels(frozenset({"url:https://x.test"}), Integrity.UNTRUSTED, Confidentiality.PUBLIC)
    message = Message("tool", "The locker code is 77.", labels=labels)
    pager.index("c", [message])
    pages = pager.context(Turn("c", Message("user", "the locker code?"), messages=[message], budget=300))
    assert [page.labels for page in pages] == [labels]


def test_other_chats_only_where_allowed(tmp_path: Path) -> None:
    for allowed in (False, True):
        folder = tmp_path / str(allowed)
        folder.mkdir()
        pager = Pager(FakeHost(folder, other_chats=allowed))  # type: ignore[arg-type]
        pager.index("old", [Message("user", "My locker code is 4821.")])
        pager.embed_new()
        pages = pager.context(Turn("new", Message("user", "What is my locker code?"), budget=300))
        assert [page.text for page in pages] == (["My locker code is 4821."] if allowed else [])
        pager.close()


def test_pages_of_a_deleted_chat_go(pager: Pager, host: FakeHost) -> None:
    kept, gone = Message("user", "Mia is a cat."), Message("user", "The secret is 12.")
    pager.index("kept", [kept])
    pager.index("gone", [gone])
    host.chats["kept"] = [kept]
    assert pager.forget_deleted() == 1
    assert pager.store.chats() == ["kept"]
    assert pager.store.search_words(["secret"], "", 9) == []


def test_without_an_embedder_words_alone_serve(pager: Pager, host: FakeHost) -> None:
    host.embedder = ""
    messages = chat(*HISTORY)
    said(pager, messages)
    pages = pager.context(Turn("c", Message("user", "locker code?"), messages=messages, budget=300))
    assert pages[0].text == "My locker code is 4821."
    assert "words" in pages[0].reason


def test_another_embedder_embeds_anew(pager: Pager, host: FakeHost) -> None:
    said(pager, chat(*HISTORY))
    host.embedder = "other"
    talk = sum(is_small_talk(text) for text in HISTORY)
    assert talk == 3
    assert pager.embed_new() == len(HISTORY) - talk  # small talk is never looked for
    assert pager.embed_new() == 0


def test_a_damaged_index_is_set_aside_and_told(tmp_path: Path) -> None:
    (tmp_path / "ram.db").write_bytes(random.Random(0).randbytes(8192))
    host = FakeHost(tmp_path)
    pager = Pager(host)  # type: ignore[arg-type]
    assert len(host.notices) == 1 and "damaged" in host.notices[0]
    pager.index("c", chat(*HISTORY))
    assert len(pager.store.known_messages("c")) == len(HISTORY)
    pager.close()


def test_facts_leave_last_and_pinned_pages_never() -> None:
    window = [
        Page("You are LLMOS.", kind="system", labels=SYSTEM_LABELS, id="system"),
        Page("My locker code is 4821.", id="fact"),
        Page("hello", id="talk"),
        Page("What is the time?", id="question"),
        Page("It is late.", role="assistant", id="answer"),
        Page("The passage.", kind="passage", id="passage"),
        Page("Pinned fact.", id="pinned", pinned=True),
        *[Page(f"My number {n} is {n}.", id=f"last{n}") for n in range(5)],
    ]
    order = eviction_order(window)
    assert order[:5] == ["talk", "passage", "question", "answer", "fact"]
    assert order[5] == EVICT_ONLY_IF_NEEDED
    assert order[6:] == [f"last{n}" for n in range(5)]
    assert {"system", "pinned"}.isdisjoint(order)
    assert worth(window[1]) > worth(window[3]) > worth(window[2])


def test_figures_count_turns_with_recalls(pager: Pager) -> None:
    messages = chat(*HISTORY)
    pager.index("c", messages)
    pager.embed_new()
    for text in ("my locker code?", "hello"):
        user = Message("user", text)
        pager.context(Turn("c", user, messages=messages, budget=300))
        pager.turn_done(Turn("c", user, Message("assistant", "4821."), [*messages, user]))
    figures = pager.store.turn_figures("c")
    assert figures["turns"] == 2
    assert figures["faults"] == 1
    assert figures["recalled_tokens"] > 0


@pytest.mark.parametrize("text", ["", "?", '"', "a OR b NOT (", "\x00", "NEAR(", "chat:c", "*"])
def test_odd_queries_find_nothing_or_something_but_never_fail(pager: Pager, text: str) -> None:
    said(pager, chat(*HISTORY))
    assert isinstance(pager.recall(text, "c", budget=100), list)


def test_what_the_question_calls_for_stays_in_the_window_in_its_turn(pager: Pager) -> None:
    messages = chat(*HISTORY, *[text for n in range(6) for text in (f"Ship {n} sails at dawn.", "Noted.")])
    pager.index("c", messages)
    window = [
        Page(one.content, role=one.role, id=one.id, message_id=one.id, tokens=200, where="window")
        for one in messages
    ]
    user = Message("user", "What is my locker code?")
    window.append(Page(user.content, role="user", id=user.id, message_id=user.id))
    brought = pager.context(Turn("c", user, messages=messages, budget=300, window=window))
    assert all(page.message_id != messages[0].id for page in brought)
    order = pager.evict(window, 1000)
    divide = order.index(EVICT_ONLY_IF_NEEDED)
    assert order.index(messages[0].id) > divide
    assert order.index(messages[2].id) < divide


def test_a_page_that_was_brought_keeps_the_message_that_would_take_it_along() -> None:
    window = [
        Page("My locker code is 4821.", id="brought", message_id="fact"),
        Page("Where is the locker?", role="user", id="asked", message_id="asked"),
        *[Page(f"My number {n} is {n}.", id=f"last{n}") for n in range(5)],
    ]
    assert eviction_order(window)[:2] == ["brought", "asked"]
    wanted = eviction_order(window, wanted={"brought"})
    assert wanted[0] == EVICT_ONLY_IF_NEEDED
    assert {"brought", "asked"} <= set(wanted[1:])


def test_a_newer_version_comes_first_even_where_it_matches_worse(pager: Pager) -> None:
    messages = chat(
        "My locker code at the gym is 4821, and mind the rust.", "Noted.",
        *[text for n in range(20) for text in (f"Shelf {n} at the gym is full.", "Noted.")],
        "My locker code at the gym is 9134.", "Noted.",
    )  # fmt: skip
    pager.index("c", messages)
    pager.embed_new()
    turn = Turn("c", Message("user", "locker code gym rust?"), messages=messages, budget=300)
    texts = [page.text for page in pager.context(turn)]
    assert texts[:2] == ["My locker code at the gym is 9134.", messages[0].content]


def test_what_stands_in_the_window_is_not_contradicted_by_an_older_version(pager: Pager) -> None:
    messages = chat("My locker code is 4821.", "Noted.", "My locker code is 9134.", "Noted.")
    pager.index("c", messages)
    window = [Page(messages[2].content, id=messages[2].id, message_id=messages[2].id)]
    turn = Turn("c", Message("user", "my locker code?"), messages=messages, budget=300, window=window)
    assert all("4821" not in page.text for page in pager.context(turn))


def test_a_turn_reads_only_the_end_of_a_chat_that_it_knows(pager: Pager) -> None:
    class Counted(list[Message]):
        read = 0

        def __getitem__(self, index):  # type: ignore[no-untyped-def]
            found = super().__getitem__(index)
            Counted.read += len(found) if isinstance(index, slice) else 1
            return found

        def __iter__(self):  # type: ignore[no-untyped-def]
            Counted.read += len(self)
            return super().__iter__()

    messages = Counted(chat(*[f"Fact {n} is {n}." for n in range(400)]))
    user = Message("user", "Fact 4?", parent_id=messages[-1].id)
    first = pager.context(Turn("c", user, messages=messages, budget=300))
    pager.turn_done(Turn("c", user, Message("assistant", "4."), Counted([*messages, user])))
    Counted.read = 0
    answer = pager._chat("c").leaf
    pager.context(Turn("c", Message("user", "Fact 6?", parent_id=answer), messages=messages, budget=300))
    assert Counted.read == 0
    assert first[0].text == "Fact 4 is 4."


def test_frequent_words_do_not_hide_rare_ones(pager: Pager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_words, "FREQUENT", 20)
    monkeypatch.setattr(page_words, "NEWEST", 10)
    pager.index("c", chat(*[f"The ship number {n} sails." for n in range(60)], "The ship Orla sails."))
    rows = {row: one.text for row, one in pager.store.pages(list(range(1, 62))).items()}
    found = pager.store.search_words(["ship", "orla"], "c", 5)
    assert [rows[row] for row in found] == ["The ship Orla sails."]
    assert pager.store.search_words(["ship"], "c", 50) == sorted(rows)[:-11:-1]


def test_an_older_file_is_brought_up_to_date(tmp_path: Path) -> None:
    pager = Pager(FakeHost(tmp_path))  # type: ignore[arg-type]
    pager.index("c", chat(*HISTORY))
    before = pager.store.search_words(["locker"], "c", 5, TELLS)
    db = pager.store._db
    db.execute("DROP INDEX pages_missing")
    db.execute("DROP INDEX pages_scope")
    db.execute("ALTER TABLE pages DROP COLUMN tells")
    db.execute("UPDATE pages_fts SET chat = 'c'")
    db.execute("PRAGMA user_version = 1")
    pager.close()
    again = Pager(FakeHost(tmp_path))  # type: ignore[arg-type]
    assert before and again.store.search_words(["locker"], "c", 5, TELLS) == before
    assert again.store.search_words(["hill"], "c", 5, TELLS) == []
    assert len(again.store.search_words(["hill"], "c", 5, ANSWERS)) == 1
    again.close()
