from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.conversation.splitting import Splitter
from llmos.formats import TOOL_CALL_OPEN
from llmos.kernel.families import family_named
from llmos.types import TextDelta, ThinkingDelta

parse = family_named("hermes").parse
CALL = '<tool_call>{"name": "python", "arguments": {"code": "1 < 2"}}</tool_call>'


def feed(chunks: list[str], **options: object) -> tuple[str, str]:
    """(text, thinking) as it was given out while it came."""
    splitter = Splitter(parse, **options)  # type: ignore[arg-type]
    deltas = [delta for chunk in chunks for delta in splitter.feed(chunk)]
    deltas += splitter.finish()[0]
    text = "".join(d.text for d in deltas if isinstance(d, TextDelta))
    thinking = "".join(d.text for d in deltas if isinstance(d, ThinkingDelta))
    return text, thinking


ANSWERS = [
    "Hello.",
    "<think>\nLet me see.\n</think>\nYes, 1 < 2 and [3] fits.",
    "<think>only thoughts",
    f"I look it up.\n{CALL}",
    CALL,
    "<think>a</think>b<think>c</think>d",
    "a <b>bold</b> [link](x) `code` {json}",
    "if a<b: print('<thin')",
    "ends with <",
    "x" * 500,
]


@pytest.mark.parametrize("answer", ANSWERS)
@settings(max_examples=25)
@given(data=st.data())
def test_however_it_is_cut_the_stream_is_the_answer(answer: str, data: st.DataObject) -> None:
    chunks = []
    rest = answer
    while rest:
        size = data.draw(st.integers(1, max(1, min(9, len(rest)))))
        chunks.append(rest[:size])
        rest = rest[size:]
    text, thinking = feed(chunks, trigger=TOOL_CALL_OPEN)
    whole = parse(answer)
    assert text.strip() == whole.content
    if answer.count("<think>") <= 1:
        assert thinking.strip() == whole.thinking


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_tool_call_is_never_shown_as_text(answer: str) -> None:
    text, _ = feed(list(answer), trigger=TOOL_CALL_OPEN)
    assert "tool_call" not in text
    assert "python" not in text


def test_text_comes_at_once_not_at_the_end() -> None:
    splitter = Splitter(parse)
    seen = [bool(splitter.feed(word)) for word in ["One", " two", " three", " <b", "old> four"]]
    assert seen == [True, True, True, True, True]


def test_thoughts_that_the_template_opened() -> None:
    text, thinking = feed(["hm", " hm", "</think>", "\n\nYes."], opened="<think>")
    assert (text.strip(), thinking) == ("Yes.", "hm hm")


def test_a_bare_json_call_waits_for_its_end_where_tools_are_offered() -> None:
    splitter = Splitter(parse, json_calls=True)
    assert [splitter.feed(part) for part in ['{"na', 'me": "x"', "}"]] == [[], [], []]
    assert splitter.finish()[0] == [TextDelta('{"name": "x"}')]


def test_a_long_answer_is_not_parsed_again_for_every_chunk() -> None:
    calls = 0

    def counting(text: str):  # type: ignore[no-untyped-def]
        nonlocal calls
        calls += 1
        return parse(text)

    splitter = Splitter(counting)
    for _ in range(5_000):
        splitter.feed(" word")
    assert calls < 20
