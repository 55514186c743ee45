"""Grammars from JSON schemas: numbers between bounds, lengths, patterns; read and held by llama.cpp itself."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.kernel.engine import Engine
from llmos.kernel.grammar import schema_to_gbnf
from llmos.kernel.integer_range import LONGEST, integer_expression
from llmos.kernel.pattern_rule import NotTranslated, pattern_expression
from llmos.kernel.protocol import KernelError
from llmos.kernel.sampler import Grammar
from llmos.kernel.schema_rules import bounds, repeats

CHAR = r'(?:[^"\\\x7F\x00-\x1F]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))'
TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"|(\[(?:\\.|[^\]\\])*\])|(char)|(\()|([|)?*+]|\{[\d,]+\})|( )')


def as_regex(expression: str) -> re.Pattern[str]:
    """A GBNF expression without rule names (other than ``char``) as a regular expression."""
    parts, at = [], 0
    while at < len(expression):
        found = TOKEN.match(expression, at)
        assert found, expression[at:]
        text, members, char, group, mark, _blank = found.groups()
        if text is not None:
            parts.append(f"(?:{re.escape(text)})" if text else "(?:)")
        else:
            parts.append(members or (CHAR if char else "") or ("(?:" if group else "") or mark or "")
        at = found.end()
    return re.compile("".join(parts), re.ASCII)


whole = st.integers(-(10**18), 10**18) | st.integers(-1200, 1200)


@given(whole, whole, whole)
@settings(max_examples=300)
def test_exactly_the_numbers_between_the_bounds(one: int, other: int, number: int) -> None:
    low, high = sorted((one, other))
    held = as_regex(integer_expression(low, high))
    for value in (number, low, high, low - 1, high + 1, (low + high) // 2):
        assert bool(held.fullmatch(str(value))) == (low <= value <= high), (low, high, value)
    for odd in ("", "-", "-0", "01", "+1", f"0{high}", "1.0", "1e3"):
        assert not held.fullmatch(odd)


@given(st.integers(-300, 300), st.integers(-300, 300))
@settings(max_examples=60)
def test_small_ranges_number_by_number(one: int, other: int) -> None:
    low, high = sorted((one, other))
    held = as_regex(integer_expression(low, high))
    assert [number for number in range(-420, 420) if held.fullmatch(str(number))] == list(range(low, high + 1))


@given(whole, whole)
def test_a_side_without_a_bound(bound: int, number: int) -> None:
    above, below = as_regex(integer_expression(bound, None)), as_regex(integer_expression(None, bound))
    short = len(str(abs(number))) <= LONGEST
    if short or number == bound:
        assert bool(above.fullmatch(str(number))) == (number >= bound)
        assert bool(below.fullmatch(str(number))) == (number <= bound)
    assert not above.fullmatch("1" * 40) and not below.fullmatch("-" + "1" * 40)


def test_no_number_at_all_is_told() -> None:
    with pytest.raises(ValueError, match="no whole number"):
        integer_expression(3, 2)
    with pytest.raises(KernelError, match="no whole number"):
        schema_to_gbnf({"type": "integer", "minimum": 1, "exclusiveMaximum": 1})


def test_bounds_are_read_as_json_schema_means_them() -> None:
    assert bounds({"minimum": 1.5, "maximum": 9.5}) == (2, 9)
    assert bounds({"exclusiveMinimum": 1, "exclusiveMaximum": 9}) == (2, 8)
    assert bounds({"exclusiveMinimum": 1.5, "minimum": 5}) == (5, None)
    assert bounds({"exclusiveMinimum": True, "minimum": 5, "maximum": None}) == (5, None)


NOT_HELD = [
    "a",
    "^a",
    "a$",
    "^a|b$",
    "^(?=a)b$",
    "^(a$",
    "^a)$",
    "^[$",
    "^\\bword$",
    "^\\1$",
    "^a{0,5000}$",
    "^a+?$",
    '^"$',
    "^\\\\$",
    "^[!-z]$",
    "^[z-a]$",
    "^[]$",
    "^*$",
    "^a{,3}$",
    "^a{2,1}$",
    "^((((((((((((((((((((((((((((((a))))))))))))))))))))))))))))))$",
]

PATTERNS = [
    r"^\d{4}-\d{2}-\d{2}$",
    r"^[a-z][a-z0-9_-]*$",
    r"^(?:low|high|v\.[0-9]+)$",
    r"^[^,;]+(,[^,;]+)*$",
    r"^\w+@\w+\.(com|org)$",
    r"^[A-F\d]{2,4}$",
    r"^a?b+c{2,}$",
    r"^.{1,5}$",
    r"^$",
    r"^\(\)\[\]\{\}\|\?\*\+\$\^$",
]


@pytest.mark.parametrize("pattern", PATTERNS)
@given(data=st.data())
@settings(max_examples=40)
def test_a_pattern_holds_as_it_is_meant(pattern: str, data: st.DataObject) -> None:
    held = as_regex(pattern_expression(pattern, "char"))
    meant = re.compile(pattern, re.ASCII)
    good = data.draw(st.from_regex(meant, fullmatch=True))
    if json.dumps(good, ensure_ascii=False) == f'"{good}"' and "\x7f" not in good:  # JSON writes it as it is
        assert held.fullmatch(good), good
    changed = data.draw(st.text(max_size=8) | st.just(good + "x") | st.just(good[1:]))
    found = held.fullmatch(changed)
    if found and "\\" not in changed:
        assert meant.fullmatch(changed), changed
        assert json.loads(f'"{changed}"') == changed


@pytest.mark.parametrize("pattern", NOT_HELD)
def test_a_pattern_that_cannot_be_held_says_so_and_lets_any_string_pass(pattern: str) -> None:
    with pytest.raises(NotTranslated):
        pattern_expression(pattern, "char")
    assert 'root ::= "\\"" char* "\\"" space' in schema_to_gbnf({"type": "string", "pattern": pattern})


def test_repeats() -> None:
    assert [repeats(None, None), repeats(1, None), repeats(2, 9), repeats(0, 10**6)] == ["*", "+", "{2,9}", "*"]
    assert repeats(10**6, 10**7) == "{1000,}"
    with pytest.raises(ValueError, match="at least 3"):
        repeats(3, 2)


HELD: list[tuple[dict[str, Any], list[Any], list[Any]]] = [
    ({"type": "integer", "minimum": 17, "maximum": 305}, [17, 99, 100, 305], [16, 306, 1000, -17]),
    ({"type": "integer", "exclusiveMinimum": 0}, [1, 123456], [0, -1]),
    ({"type": "integer", "maximum": -5}, [-5, -70], [-4, 0, 5]),
    ({"type": ["integer", "null"], "minimum": 1, "maximum": 9}, [1, 9, None], [0, 10]),
    ({"type": ["string", "null"], "enum": ["a", None]}, ["a", None], ["b"]),
    ({"anyOf": [{"type": "integer", "minimum": 3}, {"type": "boolean"}]}, [3, True], [2]),
    ({"type": "string", "minLength": 2, "maxLength": 3}, ["ab", "abc"], ["a", "abcd"]),
    ({"type": "string", "maxLength": 200_000}, ["", "ab"], []),
    ({"type": "string", "minLength": 1_000}, ["a" * 1_000], ["a" * 999]),
    ({"type": "string", "pattern": r"^\d{2}\.\d$"}, ["12.3"], ["1.3", "12,3"]),
    ({"type": "string", "pattern": "no anchors"}, ["anything"], []),
    (
        {"type": "array", "items": {"type": "integer", "minimum": 1}, "maxItems": 2},
        [[], [1], [1, 2]],
        [[0], [1, 2, 3]],
    ),
    ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [[1, 2], [1, 2, 3]], [[], [1]]),
    ({"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 1}, [[1]], [[], [1, 2]]),
    ({"type": "array", "items": {"type": "integer"}, "maxItems": 0}, [[]], [[1]]),
    ({"type": "array", "items": {"type": "integer"}, "maxItems": 200_000}, [[], [1, 2, 3]], []),
    (
        {"type": "object", "properties": {"n": {"type": "integer", "maximum": 3}}, "required": ["n"]},
        [{"n": 3}],
        [{"n": 4}, {}],
    ),
]


@pytest.mark.parametrize(("schema", "good", "bad"), HELD, ids=lambda value: json.dumps(value)[:40])
def test_llama_cpp_reads_and_holds_it(
    schema: dict[str, Any], good: list[Any], bad: list[Any], engine: Engine
) -> None:
    text = schema_to_gbnf(schema)
    for value, wanted in [*((one, True) for one in good), *((one, False) for one in bad)]:
        grammar = Grammar(engine, text)
        taken = all(grammar.accept(token) for token in engine.tokenize(json.dumps(value)))
        assert (taken and grammar.allows(2)) is wanted, value
        grammar.close()
