from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from llmos_ram.pager import Pager
from llmos_ram.quiet_work import QuietWork
from llmos_ram.summaries import FEWEST, KEY_SENTENCES, LEAST_PARAMETERS, MOST, holds, work_through

from llmos.plugins import KvState, Turn
from llmos.types import Confidentiality, Integrity, Labels, Message, Page, UserError

from .conftest import FakeHost

WEB = Labels(frozenset({"url:https://x.test"}), Integrity.UNTRUSTED, Confidentiality.PUBLIC)
THINGS = ["locker", "garden", "boat", "violin", "bridge", "oven", "tower", "meadow", "engine", "harbour"]


def facts(number: int, **labels: Labels) -> list[Message]:
    return [
        Message(
            "user", f"The {THINGS[n % 10]} of house {n} has number {100 + n}.", created_at=1e9 + n, **labels
        )
        for n in range(number)
    ]


def evicted(pager: Pager, host: FakeHost, messages: list[Message]) -> None:
    """Index messages, and have them all be out of the window."""
    pager.index("c", messages)
    host.windows["c"] = [
        *host.windows.get("c", []),
        *[
            Page(one.content, id=one.id, message_id=one.id, where="swapped", labels=one.labels)
            for one in messages
        ],
    ]


def made(pager: Pager) -> int:
    return work_through(pager.summaries, "c", lambda: True)


def test_every_page_that_left_is_in_one_summary_and_none_twice(pager: Pager, host: FakeHost) -> None:
    evicted(pager, host, facts(2 * MOST + FEWEST))
    assert made(pager) == 3
    linked = [row for one in pager.store.summaries("c") for row in one.pages]
    assert sorted(linked) == sorted(pager.store.known_messages("c").values())
    assert made(pager) == 0
    assert all(one.how == KEY_SENTENCES for one in pager.store.summaries("c"))


def test_few_pages_wait_for_more_and_small_talk_is_no_matter(pager: Pager, host: FakeHost) -> None:
    evicted(pager, host, facts(FEWEST - 1))
    evicted(pager, host, [Message("user", "thanks a lot"), Message("user", "What is a token?")])
    assert made(pager) == 0
    evicted(pager, host, [Message("user", "The cat is called Mia.")])
    assert made(pager) == 1


def test_what_is_in_the_window_is_not_summarised(pager: Pager, host: FakeHost) -> None:
    messages = facts(12)
    pager.index("c", messages)
    host.windows["c"] = [Page(one.content, id=one.id, message_id=one.id) for one in messages]
    assert made(pager) == 0


def test_taint_is_kept_and_does_not_spread(pager: Pager, host: FakeHost) -> None:
    messages = [one for pair in zip(facts(8), facts(8, labels=WEB), strict=True) for one in pair]
    evicted(pager, host, messages)
    made(pager)
    pages = pager.store.pages(list(pager.store.known_messages("c").values()))
    summaries = pager.store.summaries("c")
    assert [one.labels.tainted for one in summaries] == [False, True]
    for one in summaries:
        assert {pages[row].labels.tainted for row in one.pages} == {one.labels.tainted}
        assert all(pages[row].labels.origins <= one.labels.origins for row in one.pages)
    brought = pager.summaries.recall("summarise our talk", "c", budget=2000)
    assert {page.labels.tainted for page in brought} == {False, True}
    assert all(page.kind == "summary" for page in brought)


def test_a_summary_ranks_below_its_pages(pager: Pager, host: FakeHost) -> None:
    messages = facts(12)
    evicted(pager, host, messages)
    made(pager)
    question = Message("user", "What is the number of the violin of house 3?")
    pages = pager.context(Turn("c", question, messages=messages, budget=500))
    assert pages[0].kind == "message" and "house 3 " in pages[0].text
    kinds = [page.kind for page in pages]
    assert "summary" not in kinds[: kinds.count("message")]
    rows = [pager.store.known_messages("c")[page.message_id] for page in pages if page.kind == "message"]
    linked = {row for one in pager.store.summaries("c") for row in one.pages}
    assert not (set(rows) & linked and "summary" in kinds)  # never beside a page that it is made of


def test_a_summary_comes_alone_when_the_chat_is_asked_for_as_a_whole(pager: Pager, host: FakeHost) -> None:
    messages = facts(12)
    evicted(pager, host, messages)
    made(pager)
    turn = Turn("c", Message("user", "What did we talk about so far?"), messages=messages, budget=500)
    page = next(page for page in pager.context(turn) if page.kind == "summary")
    assert "12 earlier pages" in page.source and KEY_SENTENCES in page.source
    assert "whole chat" in page.reason
    assert pager.summaries.recall("what did we talk about", "c", budget=5) == []
    assert pager.summaries.recall("what did we talk about", "other", budget=500) == []


def test_a_summary_of_another_branch_or_of_the_window_stays_away(pager: Pager, host: FakeHost) -> None:
    evicted(pager, host, facts(8))
    made(pager)
    rows = list(pager.store.known_messages("c").values())
    ask = "summarise the talk"
    assert pager.summaries.recall(ask, "c", budget=500, branch=rows)
    assert not pager.summaries.recall(ask, "c", budget=500, branch=rows[1:])
    assert not pager.summaries.recall(ask, "c", budget=500, present=rows)
    assert pager.summaries.recall(ask, "c", budget=500, present=rows[1:])


def test_what_is_forgotten_is_forgotten_in_the_summary_too(pager: Pager, host: FakeHost) -> None:
    messages = facts(8)
    evicted(pager, host, messages)
    made(pager)
    assert pager.store.search_summaries(THINGS, "c", 9)
    pager.store.forget_message(messages[2].id)
    assert pager.store.summaries() == []
    assert pager.store.search_summaries(THINGS, "", 9) == []
    assert pager.store.summarised(list(pager.store.known_messages("c").values())) == set()
    made(pager)
    assert len(pager.store.summaries("c")) == 1
    pager.forget_chat("c")
    assert pager.store.summaries() == []


def test_off_makes_and_brings_none(pager: Pager, host: FakeHost) -> None:
    evicted(pager, host, facts(12))
    made(pager)
    host.settings = {**host.settings, "summaries": "off"}
    assert pager.summaries.recall("summarise the talk", "c", budget=500) == []
    evicted(pager, host, facts(40)[20:])
    assert made(pager) == 0


def test_a_large_model_writes_and_what_it_makes_up_is_not_taken(pager: Pager, host: FakeHost) -> None:
    host.model_parameters = LEAST_PARAMETERS
    host.written = [
        "The house numbers 103 and 104 belong to the violin and the bridge.",
        "The violin of house 3 has number 999.",  # a number that nobody said
        UserError("The person is back."),
    ]
    for batch in range(3):
        evicted(pager, host, [*facts(12 * (batch + 1))][12 * batch :])
    batches = pager.summaries.due("c")
    assert len(batches) == 2
    assert work_through(pager.summaries, "c", lambda: True) == 2
    first, second = pager.store.summaries("c")
    assert first.how == "test-model" and first.text.startswith("The house numbers")
    assert "model" in first.labels.origins
    assert second.how == KEY_SENTENCES and "999" not in second.text
    assert all(call["while_quiet"] for call in host.asked)
    evicted(pager, host, facts(60)[40:])
    assert made(pager) == 0  # interrupted: nothing half-made is kept
    assert len(pager.store.summaries("c")) == 2
    host.written = ["The boat and the oven have numbers 142 and 145."]
    assert made(pager) == 1  # and it is made in the next quiet moment


def test_the_setting_decides_over_the_size(pager: Pager, host: FakeHost) -> None:
    assert not pager.summaries.by_model
    host.settings = {**host.settings, "summaries": "model"}
    assert pager.summaries.by_model
    host.model_parameters = 10 * LEAST_PARAMETERS
    host.settings = {**host.settings, "summaries": KEY_SENTENCES}
    assert not pager.summaries.by_model


@pytest.mark.parametrize(
    ("text", "stands"),
    [
        ("The code is 4821.", True),
        ("The code is 4822.", False),
        ("", False),
        ("!!!", False),
        ("Penguins live near southern oceans.", False),
        ("My locker code is 4821 and my cat is called Mia, all of that was said by the user here.", False),
    ],
)
def test_a_summary_must_hold_against_its_pages(text: str, stands: bool) -> None:
    assert holds(text, "user: My locker code is 4821.\nuser: My cat is called Mia.") is stands


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_work_waits_for_quiet_stops_with_the_person_and_goes_on_later(host: FakeHost) -> None:
    looked: list[bool] = []

    def work(chat_id: str, go_on: Callable[[], bool]) -> int:
        looked.append(go_on())
        if len(looked) == 1:
            host.jobs.quiet = 0.0  # the person types while it works
        looked.append(go_on())
        return 1

    waiting = QuietWork(host, "summaries", work, look=0.005)  # type: ignore[arg-type]
    host.settings = {**host.settings, "summaries_after": 3}
    waiting.note("c")
    time.sleep(0.05)
    assert looked == []
    host.jobs.quiet = 5.0
    wait_until(lambda: len(looked) == 2)
    assert looked == [True, False]
    time.sleep(0.05)
    assert len(looked) == 2  # it waits again, and nothing is lost
    host.jobs.quiet = 5.0
    wait_until(lambda: len(looked) == 4)
    assert looked[2:] == [True, True]
    wait_until(lambda: waiting._thread is None)  # nothing is due: no thread waits
    waiting.close()


@pytest.mark.parametrize("ending", [True, False])
def test_work_that_the_end_of_the_program_cuts_off_is_no_fault(ending: bool, host: FakeHost) -> None:
    ended: list[str] = []
    start = host.jobs.start

    def guarded(name: str, function: Callable[..., None]) -> object:
        try:
            job = start(name, function)
        except ValueError as error:
            ended.append(str(error))
            return None
        ended.append("well")
        return job

    def work(chat_id: str, go_on: Callable[[], bool]) -> int:
        if ending:
            waiting.close()
        raise ValueError("the file is closed")

    host.jobs.start = guarded  # type: ignore[assignment,method-assign]
    host.jobs.quiet = 60.0
    waiting = QuietWork(host, "summaries", work, look=0.005)  # type: ignore[arg-type]
    waiting.note("c")
    wait_until(lambda: bool(ended))
    waiting.close()
    assert ended[0] == ("well" if ending else "the file is closed")


def test_a_turn_says_what_it_evaluated_and_that_pages_have_left(pager: Pager, host: FakeHost) -> None:
    messages = facts(8)
    evicted(pager, host, messages)
    answer = Message(
        "assistant",
        "Yes.",
        stats={
            "prompt_tokens": 90,
            "cached_tokens": 80,
            "turn_prompt_tokens": 150,
            "turn_cached_tokens": 100,
        },
    )
    pager.turn_done(Turn("c", Message("user", "And the last one?"), answer))
    assert pager.store.turn_tokens("c") == (1, 150, 50, 50)
    assert list(pager._quiet._due) == ["c"]
    pager.turn_done(Turn("d", Message("user", "Hello"), Message("assistant", "Hi")))
    assert pager.store.turn_tokens("d") == (0, 0, 0, 0)


def test_a_file_with_summaries_opens_again(pager: Pager, host: FakeHost) -> None:
    evicted(pager, host, facts(12))
    made(pager)
    again = Pager(host)  # type: ignore[arg-type]
    assert again.store.set_aside is None
    assert again.store.summaries("c") == pager.store.summaries("c") != []
    again.close()


def test_a_model_writes_only_where_the_cache_has_room_beside_the_chat(pager: Pager, host: FakeHost) -> None:
    host.model_parameters = LEAST_PARAMETERS
    host.written = ["The locker and the garden have numbers 100 and 101."]
    evicted(pager, host, facts(12))
    host.kv = KvState(tokens=host.context_size - 200)
    assert made(pager) == 0 and host.asked == []  # it waits, and the chat stays in the cache
    host.kv = KvState(tokens=host.context_size // 2)
    assert made(pager) == 1 and len(host.asked) == 1
    host.context_size = 256  # here it would never fit
    evicted(pager, host, facts(24)[12:])
    host.kv = KvState(tokens=250)
    assert made(pager) > 0 and len(host.asked) == 1
    assert pager.store.summaries("c")[-1].how == KEY_SENTENCES
