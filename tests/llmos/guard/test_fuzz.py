"""Arbitrary calls, tools and windows: the guard always answers, and never more than the policy gives."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmos.guard.addresses import all_given, strings_of
from llmos.guard.api import WindowState
from llmos.guard.calls import canonical, exact_text, parse_named_call
from llmos.guard.clean import clean
from llmos.guard.guard import Guard
from llmos.guard.links import expand_links, links_in
from llmos.types import (
    USER_LABELS,
    Confidentiality,
    EffectClass,
    Integrity,
    Labels,
    Page,
    ToolCall,
    ToolResult,
    ToolSpec,
)

TEXT = st.one_of(
    st.text(alphabet=st.characters(), max_size=20),
    st.sampled_from(
        [
            "https://given.example/",
            "https://evil.example/?q=1",
            "//x",
            "\u202e",
            "\x1b[2J",
            "url",
            "path",
            "⟨",
            "",
        ]
    ),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
ARGUMENTS = st.dictionaries(TEXT, JSON, max_size=4)
STRANGE = st.one_of(
    JSON, st.binary(max_size=3), st.just(object()), st.just({1: 2}), st.floats(), st.just({"a"})
)
LABELS = st.builds(
    Labels, st.frozensets(TEXT, max_size=3), st.sampled_from(Integrity), st.sampled_from(Confidentiality)
)
SPEC = st.builds(
    ToolSpec,
    TEXT,
    TEXT,
    st.one_of(
        st.just({}), st.dictionaries(TEXT, JSON, max_size=2), st.just({"type": "object", "properties": {}})
    ),
    st.sampled_from(EffectClass),
    st.sampled_from(["", "disk", "mcp", "x"]),
    contained=st.booleans(),
    description_trusted=st.booleans(),
)
WEB = Labels(frozenset({"url:https://page.example/"}), Integrity.UNTRUSTED, Confidentiality.PUBLIC)


@given(
    SPEC,
    st.dictionaries(st.one_of(TEXT, st.integers()), STRANGE, max_size=4),
    st.lists(LABELS, max_size=4),
    st.booleans(),
)
@settings(max_examples=100)
def test_it_always_answers(spec: ToolSpec, arguments: Any, labels: list[Labels], can_ask: bool) -> None:
    guard = Guard(offline=lambda: False)
    window = WindowState(
        "c", [Page("x", labels=one) for one in labels], ["see https://given.example/"], [], can_ask
    )
    window.tools = [spec]
    decision = guard.decide(ToolCall(spec.name, arguments), spec, window)
    assert decision.reason and decision.rule
    assert (decision.approval is not None) == (decision.verdict == "ask")
    assert can_ask or decision.verdict != "ask"
    assert clean(decision.reason) == decision.reason
    if decision.approval is not None:
        assert clean(decision.approval.exact) == decision.approval.exact


@given(SPEC, ARGUMENTS, st.lists(LABELS, max_size=3))
@settings(max_examples=100)
def test_no_effect_under_taint_without_a_word_of_the_user(
    spec: ToolSpec, arguments: dict[str, Any], labels: list[Labels]
) -> None:
    guard = Guard(offline=lambda: False)
    pages = [Page("q", labels=USER_LABELS), Page("w", labels=WEB), *(Page("x", labels=one) for one in labels)]
    decision = guard.decide(ToolCall(spec.name, arguments), spec, WindowState("c", pages, ["hello"], []))
    if spec.effect not in (EffectClass.PURE, EffectClass.READ):
        assert decision.verdict != "allow"


@given(ARGUMENTS, ARGUMENTS)
@example({"\ud800": None}, {"\\ud800": None})
@example({"a": "\udfff"}, {"a": "\\udfff"})
def test_a_yes_is_for_these_bytes_alone(one: dict[str, Any], other: dict[str, Any]) -> None:
    guard = Guard(offline=lambda: False)
    spec = ToolSpec("shell", "", {}, EffectClass.EXECUTE)
    window = WindowState("c", [Page("q", labels=USER_LABELS)], [], [])
    first, second = ToolCall("shell", one), ToolCall("shell", other)
    asked = guard.decide(first, spec, window)
    if asked.approval is None:
        return
    guard.remember(asked.approval, "chat", "c")
    assert guard.decide(first, spec, window).verdict == "allow"
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (guard.decide(second, spec, window).verdict == "allow") == same


@given(ARGUMENTS)
def test_a_call_written_down_is_the_same_call(arguments: dict[str, Any]) -> None:
    call = ToolCall("shell", arguments)
    written = json.dumps({"arguments": arguments, "name": "shell"}, ensure_ascii=True, indent=1)
    assert parse_named_call(written) == canonical(call)


@given(st.lists(TEXT, min_size=1, max_size=2), st.lists(TEXT, min_size=1, max_size=2))
def test_different_calls_never_look_the_same(one: list[str], other: list[str]) -> None:
    if one != other:
        first = exact_text(ToolCall("t", {str(n): text for n, text in enumerate(one)}))
        second = exact_text(ToolCall("t", {str(n): text for n, text in enumerate(other)}))
        assert first != second


@given(st.text(max_size=30), st.text(max_size=10))
def test_an_address_with_a_tail_was_not_given(text: str, tail: str) -> None:
    address = "https://given.example/a"
    longer = address + "?q=" + "".join(tail.split())
    if longer not in text:
        assert not all_given([longer], [f"{text} {address} {text}"], [address])
    assert all_given([address], [f"{address}"], [])


@given(
    st.lists(
        st.sampled_from(
            ["[a](", "https://x.example/", ")", "!", "[", "]", "<a href='y'>", "`", "\n", " ", "[b]: z"]
        ),
        max_size=12,
    )
)
def test_links_never_raise_and_show_every_target(parts: list[str]) -> None:
    text = "".join(parts)
    shown = expand_links(text)
    for link in links_in(text):
        assert link.target.strip() == "" or link.target in shown


@given(JSON)
def test_results_of_any_data_are_cleaned(data: Any) -> None:
    guard = Guard(offline=lambda: False)
    spec = ToolSpec("t", "", {}, EffectClass.NETWORK)
    made = guard.label_result(spec, ToolResult("x", data={"part": data}), WindowState("c"))
    assert all(clean(text) == text for text in strings_of(made.data))
