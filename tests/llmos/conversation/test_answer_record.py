"""What is stored with an answer, however its text comes and however many generations it takes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llmos.conversation.answer_record import CALLS_AT_ONCE, AnswerRecord
from llmos.conversation.window import Window
from llmos.types import Citation, Event, Message, Page, ToolCall, TurnDone, TurnStats


def _record(pages: int) -> tuple[AnswerRecord, list[Event]]:
    window = Window("chat")
    slot = window.append(Message("user", "?"))
    slot.attached.extend(window.number([Page(f"{n}", "passage", source=f"{n}.md") for n in range(pages)]))
    told: list[Event] = []
    return AnswerRecord(window, told.append), told


def _figures(prompt: int, cached: int) -> TurnStats:
    return TurnStats(prompt, cached, 5, 1.0, 0.1, 5.0, "stop", "m")


@given(st.lists(st.sampled_from(["[", "1", "2", "]", "[1]", "[3]", "[0]", "a", "[12"]), max_size=30))
def test_each_page_is_cited_once_however_the_text_comes(pieces: list[str]) -> None:
    whole, told_whole = _record(3)
    whole.cite("".join(pieces))
    record, told = _record(3)
    tail = ""
    for piece in pieces:
        tail = record.cite(tail + piece)
    numbers = [one.number for one in told if isinstance(one, Citation)]
    assert numbers == [one.number for one in told_whole if isinstance(one, Citation)]
    assert len(set(numbers)) == len(numbers) and set(numbers) <= {1, 2, 3}


def test_figures_add_up_over_the_generations_of_a_turn() -> None:
    record, _ = _record(0)
    answer = Message("assistant", "")
    first = record.stored(answer, TurnDone(Message("assistant", "a"), _figures(100, 60)), "complete")
    second = record.stored(answer, TurnDone(Message("assistant", "b"), _figures(150, 120)), "complete")
    assert (first.stats["turn_prompt_tokens"], first.stats["turn_cached_tokens"]) == (100, 60)
    assert (second.stats["turn_prompt_tokens"], second.stats["turn_cached_tokens"]) == (250, 180)
    assert second.stats["prompt_tokens"] == 150 and "citations" not in second.stats


def test_marks_belong_to_one_answer_and_citations_to_the_turn() -> None:
    record, _ = _record(2)
    record.cite("so it is [2]")
    record.marks = [{"start": 0}]
    done = TurnDone(Message("assistant", "so it is [2]", thinking="hm"), None)
    first = record.stored(Message("assistant", ""), done, "complete")
    second = record.stored(Message("assistant", ""), done, "stopped")
    assert first.stats["marks"] == [{"start": 0}] and "marks" not in second.stats
    assert [one.stats["citations"][0]["source"] for one in (first, second)] == ["1.md", "1.md"]
    assert (first.thinking, second.status) == ("hm", "stopped")


def test_only_so_many_calls_are_kept() -> None:
    record, _ = _record(0)
    calls = tuple(ToolCall("f", {"n": n}) for n in range(CALLS_AT_ONCE + 3))
    done = TurnDone(Message("assistant", "", tool_calls=calls), None)
    assert record.stored(Message("assistant", ""), done, "complete").tool_calls == calls[:CALLS_AT_ONCE]
