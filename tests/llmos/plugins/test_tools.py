from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from llmos.plugins.conformance.samples import sample
from llmos.plugins.contributions import Tool, ToolContext
from llmos.plugins.tools import (
    BadArguments,
    as_result,
    bind_tool,
    check_arguments,
    check_schema,
    parse_docstring,
    run_tool,
)
from llmos.types import EffectClass, ToolResult, UserError


class Point(BaseModel):
    x: float
    y: float = 0.0


def draw(
    shape: Literal["line", "circle"],
    points: list[Point],
    size: Annotated[int, Field(ge=1, le=9)] = 3,
    title: str | None = None,
    *,
    context: ToolContext,
) -> dict[str, Any]:
    """Draws a shape
    over two lines.

    More that the model does not read.

    Args:
        shape: What to draw.
        points (list): Where; the first point
            is the middle.
        size: How large.

    Returns:
        What was drawn.
    """
    context.progress("drawing")
    return {
        "shape": shape,
        "points": len(points),
        "size": size,
        "title": title,
        "kind": type(points[0]).__name__,
    }


def test_a_typed_function_becomes_a_schema() -> None:
    bound = bind_tool(Tool(draw, EffectClass.WRITE, time_limit=5), "art")
    spec = bound.spec
    assert (spec.name, spec.plugin, spec.effect, spec.time_limit) == ("draw", "art", EffectClass.WRITE, 5)
    assert spec.description == "Draws a shape over two lines."
    properties = spec.parameters["properties"]
    assert set(properties) == {"shape", "points", "size", "title"}, "the context is not the model's business"
    assert properties["shape"] == {"enum": ["line", "circle"], "type": "string", "description": "What to draw."}
    assert properties["points"]["description"] == "Where; the first point is the middle."
    assert (properties["size"]["minimum"], properties["size"]["default"]) == (1, 3)
    assert spec.parameters["required"] == ["shape", "points"]
    assert spec.parameters["additionalProperties"] is False
    assert "title" not in {key for key in properties["shape"]}
    json.dumps(spec.parameters)


def test_arguments_are_checked_and_converted() -> None:
    bound = bind_tool(Tool(draw))
    shown: list[str] = []
    arguments = {"shape": "line", "points": [{"x": 1}], "size": "4"}
    result = run_tool(bound, arguments, ToolContext(progress=shown.append))
    assert result.data == {"shape": "line", "points": 1, "size": 4, "title": None, "kind": "Point"}
    assert json.loads(result.text) == result.data
    assert shown == ["drawing"]
    for wrong, word in (
        ({}, "shape"),
        ({"shape": "square", "points": []}, "shape"),
        ({"shape": "line", "points": [{"y": 1}]}, "points.0.x"),
        ({"shape": "line", "points": [], "size": 10}, "size"),
        ({"shape": "line", "points": [], "colour": "red"}, "colour"),
        ({"shape": "line", "points": [], "context": {}}, "context"),
    ):
        with pytest.raises(BadArguments, match=word):
            check_arguments(bound, wrong)


def test_async_functions_and_every_kind_of_result() -> None:
    async def later(text: str) -> str:
        """Waits a little."""
        await asyncio.sleep(0)
        return text * 2

    assert run_tool(bind_tool(Tool(later)), {"text": "ab"}, ToolContext()).text == "abab"
    assert as_result(None).text == "Done."
    assert as_result([1, "ä"]).text == '[1, "ä"]'
    assert as_result([1]).data == {"value": [1]}
    assert as_result(Point(x=1)).data == {"x": 1.0, "y": 0.0}
    given_result = ToolResult("x", ok=False)
    assert as_result(given_result) is given_result
    with pytest.raises(TypeError):
        as_result(object())


def undocumented(text: str) -> str:
    return text


def untyped(text) -> str:  # type: ignore[no-untyped-def]
    """Has no hint."""
    return str(text)


def greedy(*texts: str) -> str:
    """Takes any number."""
    return ""


def unknown(text: "NotThere") -> str:  # type: ignore[name-defined]  # noqa: F821, UP037
    """Has a hint that is not there."""
    return ""


def live(thing: object) -> str:
    """Takes anything."""
    return ""


def odd(lock: asyncio.Lock) -> str:
    """Takes a lock."""
    return ""


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (undocumented, "no docstring"),
        (untyped, "no type hint"),
        (greedy, "named arguments only"),
        (unknown, "cannot be resolved"),
        (odd, "no JSON form"),
        (lambda text: text, "lower-case letters"),
    ],
)
def test_what_cannot_be_a_tool_is_told_in_a_sentence(function: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        bind_tool(Tool(function))


def test_a_tool_with_a_schema_of_its_own() -> None:
    def any_keyword(context: ToolContext, **arguments: Any) -> str:
        """Hands on."""
        return json.dumps(arguments, sort_keys=True)

    schema = {
        "type": "object",
        "required": ["a"],
        "additionalProperties": False,
        "properties": {"a": {"type": "integer"}, "b": {"enum": ["x", "y"]}, "c": {"type": ["string", "null"]}},
    }
    bound = bind_tool(Tool(any_keyword, name="far", parameters=schema))
    assert bound.spec.parameters == schema
    assert run_tool(bound, {"a": 1, "b": "x", "c": None}, ToolContext()).text == '{"a": 1, "b": "x", "c": null}'
    for wrong, word in (
        ({}, "a is missing"),
        ({"a": "1"}, "type integer"),
        ({"a": True}, "type integer"),
        ({"a": 1, "b": "z"}, "one of x, y"),
        ({"a": 1, "d": 1}, "no argument d"),
    ):
        with pytest.raises(BadArguments, match=word):
            run_tool(bound, wrong, ToolContext())


@given(
    st.dictionaries(
        st.text(st.characters(categories=["L"]), min_size=1, max_size=5),
        st.sampled_from(["string", "integer", "number", "boolean", "array", "object", "null"]),
        max_size=5,
    )
)
def test_smallest_samples_fit_their_schema(types: dict[str, str]) -> None:
    schema = {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in types.items()},
        "required": list(types),
        "additionalProperties": False,
    }
    check_schema("t", schema, sample(schema))


@given(st.text())
def test_no_docstring_breaks_the_parser(text: str) -> None:
    summary, notes = parse_docstring(text)
    assert "\n" not in summary and all(isinstance(note, str) for note in notes.values())
