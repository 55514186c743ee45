"""Tool calls by family: what the models' own templates write is read, and allowed by the grammar."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.kernel.engine import Engine
from llmos.kernel.families import FAMILIES, family_named, family_of
from llmos.kernel.families.base import fit_types, split_thinking
from llmos.kernel.grammar import schema_to_gbnf
from llmos.kernel.sampler import Grammar
from llmos.types import ToolCall, ToolSpec

TOOL = ToolSpec(
    "get_weather",
    "Weather.",
    {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    },
)
OTHER = ToolSpec("now", "Time.", {"type": "object", "properties": {}})
CITY = 'Köln <b> "x"'

#: For each family, a call as the chat template of a well-known model of it renders it.
RENDERED = {
    "hermes": '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Köln <b> \\"x\\"", "days": 3}}'
    "\n</tool_call>",
    "llama3": '{"name": "get_weather", "parameters": {"city": "Köln <b> \\"x\\"", "days": 3}}',
    "mistral-json": '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Köln <b> \\"x\\"", "days": '
    '3}, "id": "abcdefghi"}]',
    "mistral": '[TOOL_CALLS]get_weather[ARGS]{"city": "Köln <b> \\"x\\"", "days": 3}',
    "gemma": '<|tool_call>call:get_weather{city:<|"|>Köln <b> "x"<|"|>,days:3}<tool_call|>',
    "deepseek": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>"
    '{"city": "Köln <b> \\"x\\"", "days": 3}<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    "deepseek-r1": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n"
    '{"city": "Köln <b> \\"x\\"", "days": 3}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    "gpt-oss": "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>"
    '{"city": "Köln <b> \\"x\\"", "days": 3}',
    "qwen-xml": '<tool_call>\n<function=get_weather>\n<parameter=city>\nKöln <b> "x"\n</parameter>\n'
    "<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>",
    "minicpm": '<function name="get_weather"><param name="city">Köln <b> "x"</param>'
    '<param name="days">3</param></function>',
    "lfm2": '<|tool_call_start|>[get_weather(city="Köln <b> \\"x\\"", days=3)]<|tool_call_end|>',
}


def test_every_family_is_covered() -> None:
    assert {family.name for family in FAMILIES} == set(RENDERED)
    assert all(family_named(name).name == name for name in RENDERED)
    assert family_named("unheard of").name == "hermes"
    assert family_of("no tools at all").name == "hermes"


@pytest.mark.parametrize("name", sorted(RENDERED))
def test_a_call_is_read(name: str) -> None:
    family = family_named(name)
    parsed = family.parse(RENDERED[name])
    assert parsed.content == ""
    assert len(parsed.tool_calls) == 1
    call = fit_types(parsed.tool_calls[0], TOOL.parameters)
    assert (call.name, dict(call.arguments)) == ("get_weather", {"city": CITY, "days": 3})


@pytest.mark.parametrize("name", sorted(set(RENDERED) - {"llama3", "gpt-oss"}))
def test_text_and_thoughts_around_a_call(name: str) -> None:
    parsed = family_named(name).parse(f"Let me look. {RENDERED[name]}")
    assert parsed.content == "Let me look."
    assert len(parsed.tool_calls) == 1
    if name != "gemma":
        parsed = family_named(name).parse(f"<think>\nhm\n</think>\n\nSo: {RENDERED[name]}")
        assert (parsed.thinking, parsed.content) == ("hm", "So:")


@pytest.mark.parametrize("name", sorted(RENDERED))
def test_the_grammar_allows_what_the_template_writes(name: str, engine: Engine) -> None:
    family = family_named(name)
    text = RENDERED[name]
    assert text.startswith(family.trigger)
    grammar = Grammar(engine, family.grammar([OTHER, TOOL], schema_to_gbnf))
    taken = b""
    for token in engine.tokenize(text):
        assert grammar.accept(token), f"refused after {taken.decode('utf-8', 'replace')!r}"
        taken += engine.piece(token)
    assert grammar.allows(2), "the answer may end here"
    grammar.close()


@pytest.mark.parametrize("name", sorted(RENDERED))
def test_the_grammar_forbids_another_tool_and_a_missing_argument(name: str, engine: Engine) -> None:
    family = family_named(name)
    for wrong in (
        RENDERED[name].replace("get_weather", "get_wealth"),
        RENDERED[name].replace("city", "cite"),
        RENDERED[name].replace("3", '"3"') if name not in ("gemma",) else RENDERED[name].replace("3", "x"),
    ):
        grammar = Grammar(engine, family.grammar([OTHER, TOOL], schema_to_gbnf))
        assert not all(grammar.accept(token) for token in engine.tokenize(wrong))
        grammar.close()


@pytest.mark.parametrize("name", sorted(RENDERED))
def test_half_a_call_stays_text_and_nothing_raises(name: str) -> None:
    family = family_named(name)
    text = RENDERED[name]
    for cut in range(1, len(text), 3):
        parsed = family.parse(text[:cut])
        for call in parsed.tool_calls:  # a missing closing mark is forgiven, half the arguments are not
            assert call.arguments.get("city") == CITY


marks = st.sampled_from(
    [
        *RENDERED.values(),
        "<tool_call>",
        "</tool_call>",
        "{",
        "}",
        '{"name": "x"}',
        "[TOOL_CALLS]",
        "<think>",
        "</think>",
        "<|channel|>",
        "<|message|>",
        "<|tool_call>",
        "call:a{",
        '<|"|>',
        "[",
        "]",
        "a",
        "\n",
        "<function=",
        "null",
        '"',
    ]
)


@given(st.lists(marks, max_size=12).map("".join), st.sampled_from(sorted(RENDERED)))
def test_any_text_is_taken_apart_without_an_error(text: str, name: str) -> None:
    parsed = family_named(name).parse(text)
    for call in parsed.tool_calls:
        assert call.name
        json.dumps(dict(call.arguments))


def test_several_calls() -> None:
    one = '{"name": "a", "arguments": {"n": 1}}'
    parsed = family_named("hermes").parse(f"<tool_call>{one}</tool_call>\n<tool_call>{one}</tool_call>")
    assert [call.name for call in parsed.tool_calls] == ["a", "a"]
    parsed = family_named("llama3").parse('{"name": "a", "parameters": {}}; {"name": "b", "parameters": {}}')
    assert [call.name for call in parsed.tool_calls] == ["a", "b"]
    parsed = family_named("mistral").parse("[TOOL_CALLS]a[ARGS]{}[TOOL_CALLS]b[CALL_ID]123456789[ARGS]{}")
    assert [call.name for call in parsed.tool_calls] == ["a", "b"]
    parsed = family_named("lfm2").parse("<|tool_call_start|>[a(), b(x=[1, true])]<|tool_call_end|>")
    assert [(call.name, dict(call.arguments)) for call in parsed.tool_calls] == [
        ("a", {}),
        ("b", {"x": [1, True]}),
    ]


def test_json_in_prose_is_no_call() -> None:
    text = 'Write {"name": "x", "parameters": {}} to call it.'
    assert family_named("llama3").parse(text).content == text


def test_llama_built_in_tools() -> None:
    parsed = family_named("llama3").parse('<|python_tag|>web_search.call(query="a \\"b\\"")')
    assert [(call.name, dict(call.arguments)) for call in parsed.tool_calls] == [
        ("web_search", {"query": 'a "b"'})
    ]


def test_harmony_channels() -> None:
    parsed = family_named("gpt-oss").parse(
        "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Hello!"
    )
    assert (parsed.thinking, parsed.content) == ("hm", "Hello!")
    parsed = family_named("gpt-oss").parse(
        ' to=functions.get_weather<|channel|>commentary json<|message|>{"city": "x"}<|call|>'
    )
    assert parsed.tool_calls[0].arguments == {"city": "x"}


def test_gemma_values() -> None:
    parsed = family_named("gemma").parse(
        "<|channel>thought\nhm<channel|>"
        '<|tool_call>call:f{a:[1,<|"|>x, y<|"|>],b:{<|"|>c<|"|>:true},d:-2.5}<tool_call|>ok'
    )
    assert parsed.thinking == "hm" and parsed.content == "ok"
    assert parsed.tool_calls[0].arguments == {"a": [1, "x, y"], "b": {"c": True}, "d": -2.5}


def test_thinking() -> None:
    assert split_thinking("a<t>b</t>c<t>d", "<t>", "</t>") == ("ac", "b\nd")
    assert split_thinking("b</t>c", "<t>", "</t>") == ("c", "b")


def test_types_follow_the_schema() -> None:
    schema = {"properties": {"n": {"type": "integer"}, "s": {"type": "string"}, "b": {"type": "boolean"}}}
    call = fit_types(ToolCall("t", {"n": "5", "s": "5", "b": "true", "x": "5"}), schema)
    assert call.arguments == {"n": 5, "s": "5", "b": True, "x": "5"}
    assert fit_types(ToolCall("t", {"n": "five"}), schema).arguments == {"n": "five"}
