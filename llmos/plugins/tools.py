"""From a plain typed function with a docstring to a tool with a JSON schema, and back to a call."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError

from llmos.plugins.contributions import Tool, ToolContext
from llmos.plugins.manifest import Manifest
from llmos.types import EffectClass, ToolResult, ToolSpec, UserError

_NAME = re.compile(r"^[a-z][a-z0-9_]*$")
_ARGUMENT = re.compile(r"^(\s*)\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)$")


class BadArguments(UserError):
    """The model's arguments do not fit the schema; the text tells it what to change."""


@dataclass(frozen=True, slots=True)
class BoundTool:
    """A tool ready to be called.

    Attributes:
        spec: what the model sees.
        function: what runs.
        arguments: validates the model's arguments; None when the tool brought its own schema.
        context_name: name of the parameter that takes the ``ToolContext``, or empty.
    """

    spec: ToolSpec
    function: Callable[..., Any]
    arguments: type[BaseModel] | None
    context_name: str = ""


def bind_tool(tool: Tool, plugin: str = "") -> BoundTool:
    """Make the schema of a tool from its function.

    Args:
        tool: what the plugin returned.
        plugin: its name, for the spec.

    Raises:
        UserError: no usable name, no type hint, or a hint that has no JSON form.
    """
    function = tool.function
    name = tool.name or getattr(function, "__name__", "")
    if not _NAME.match(name):
        raise UserError(f"The tool name {name!r} must be lower-case letters, digits and _.")
    summary, notes = parse_docstring(inspect.getdoc(function) or "")
    description = tool.description or summary
    if not description:
        raise UserError(f"The tool {name} has no docstring; write one sentence that says what it does.")
    context_name = _context_parameter(function)
    model: type[BaseModel] | None = None
    if tool.parameters is not None:
        parameters = dict(tool.parameters)
    else:
        model = _arguments_model(name, function, notes, context_name)
        parameters = _plain_schema(model)
    spec = ToolSpec(
        name,
        description,
        parameters,
        EffectClass(tool.effect),
        plugin,
        tool.time_limit,
        tool.result_limit,
        contained=tool.contained,
        description_trusted=tool.description_trusted,
    )
    return BoundTool(spec, function, model, context_name)


def tool_spec(tool: Tool, plugin: str = "") -> ToolSpec:
    """What the model sees of a tool; see ``bind_tool``."""
    return bind_tool(tool, plugin).spec


def _signature(function: Callable[..., Any]) -> tuple[inspect.Signature, dict[str, Any]]:
    """Signature and resolved type hints."""
    target = function if inspect.isroutine(function) else type(function).__call__
    try:
        hints = typing.get_type_hints(target, include_extras=True)
    except (NameError, TypeError) as error:
        name = getattr(function, "__name__", str(function))
        raise UserError(f"The type hints of the tool {name} cannot be resolved: {error}.") from error
    return inspect.signature(function), hints


def _context_parameter(function: Callable[..., Any]) -> str:
    """Name of the parameter annotated with ``ToolContext``."""
    signature, hints = _signature(function)
    for name in signature.parameters:
        hint = hints.get(name)
        options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        if ToolContext in options:
            return name
    return ""


def _arguments_model(
    name: str, function: Callable[..., Any], notes: Mapping[str, str], context_name: str
) -> type[BaseModel]:
    """A pydantic model of the arguments."""
    signature, hints = _signature(function)
    fields: dict[str, Any] = {}
    for parameter in signature.parameters.values():
        if parameter.name == context_name:
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise UserError(
                f"The tool {name} must take named arguments only, so *{parameter.name} cannot be used."
            )
        if parameter.name not in hints:
            raise UserError(f"The argument {parameter.name} of the tool {name} has no type hint; add one.")
        default = ... if parameter.default is parameter.empty else parameter.default
        note = notes.get(parameter.name)
        fields[parameter.name] = (hints[parameter.name], Field(default, description=note))
    try:
        model: type[BaseModel] = create_model(
            f"{name}_arguments", __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=False), **fields
        )
        model.model_json_schema()
    except (PydanticUserError, TypeError, NameError) as error:
        first = str(error).splitlines()[0]
        raise UserError(f"An argument of the tool {name} has a type with no JSON form: {first}.") from error
    return model


def _plain_schema(model: type[BaseModel]) -> dict[str, Any]:
    """JSON schema without pydantic's titles, which only cost tokens."""
    schema = model.model_json_schema()

    def strip(part: Any, inside_properties: bool = False) -> Any:
        if isinstance(part, dict):
            return {
                key: strip(value, key in ("properties", "$defs") and not inside_properties)
                for key, value in part.items()
                if inside_properties or key != "title" or not isinstance(value, str)
            }
        if isinstance(part, list):
            return [strip(value) for value in part]
        return part

    plain: dict[str, Any] = strip(schema)
    plain.pop("description", None)
    plain.setdefault("properties", {})
    return plain


def parse_docstring(text: str) -> tuple[str, dict[str, str]]:
    """First paragraph, and the notes of an ``Args:`` section (Google style)."""
    lines = text.expandtabs().splitlines()
    summary: list[str] = []
    for line in lines:
        if not line.strip():
            break
        summary.append(line.strip())
    notes: dict[str, str] = {}
    indent = -1
    current = ""
    for line in _section(lines, ("Args:", "Arguments:", "Parameters:")):
        match = _ARGUMENT.match(line)
        if match and (indent < 0 or len(match[1]) <= indent):
            indent = len(match[1])
            current = match[2]
            notes[current] = match[3].strip()
        elif current and line.strip():
            notes[current] = f"{notes[current]} {line.strip()}".strip()
    return " ".join(summary), notes


def _section(lines: list[str], heads: tuple[str, ...]) -> list[str]:
    """Lines of a docstring's section, until the next line without indent."""
    for start, line in enumerate(lines):
        if line.strip() in heads:
            body: list[str] = []
            for following in lines[start + 1 :]:
                if following.strip() and not following[0].isspace():
                    break
                body.append(following)
            return body
    return []


def check_arguments(bound: BoundTool, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as the function takes them.

    Raises:
        BadArguments: they do not fit the schema; one sentence names the first that does not.
    """
    if bound.arguments is None:
        check_schema(bound.spec.name, bound.spec.parameters, arguments)
        return dict(arguments)
    try:
        model = bound.arguments.model_validate(dict(arguments))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "arguments"
        raise BadArguments(f"{bound.spec.name} cannot be called so: {place}: {first['msg']}.") from error
    return {name: getattr(model, name) for name in type(model).model_fields}


_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list, tuple),
    "object": (dict,),
    "null": (type(None),),
}


def check_schema(name: str, schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
    """The outer level of a foreign schema: required names, unknown names, plain types and choices.

    Raises:
        BadArguments: one sentence names the first that does not fit.
    """
    properties = schema.get("properties", {})
    for wanted in schema.get("required", ()):
        if wanted not in arguments:
            raise BadArguments(f"{name} cannot be called so: {wanted} is missing.")
    for key, value in arguments.items():
        if key not in properties:
            if schema.get("additionalProperties", True) is False:
                raise BadArguments(f"{name} cannot be called so: it has no argument {key}.")
            continue
        part = properties[key]
        kinds = part.get("type", []) if isinstance(part, Mapping) else []
        kinds = [kinds] if isinstance(kinds, str) else list(kinds)
        allowed = tuple(kind for word in kinds for kind in _TYPES.get(word, ()))
        wrong_bool = isinstance(value, bool) and bool not in allowed
        if allowed and (not isinstance(value, allowed) or wrong_bool):
            raise BadArguments(f"{name} cannot be called so: {key} must be of type {' or '.join(kinds)}.")
        choices = part.get("enum") if isinstance(part, Mapping) else None
        if choices and value not in choices:
            raise BadArguments(
                f"{name} cannot be called so: {key} must be one of {', '.join(map(str, choices))}."
            )


def run_tool(bound: BoundTool, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
    """Check the arguments and call the function on this thread; async ones get a loop of their own.

    Raises:
        BadArguments: see ``check_arguments``.
        Exception: whatever the function raises.
    """
    values = check_arguments(bound, arguments)
    if bound.context_name:
        values[bound.context_name] = context
    outcome = bound.function(**values)
    if inspect.isawaitable(outcome):
        outcome = asyncio.run(_await(outcome))
    return as_result(outcome)


async def _await(awaitable: Any) -> Any:
    return await awaitable


def as_result(outcome: Any) -> ToolResult:
    """What a tool returned, as a result: text stays, data becomes JSON.

    Raises:
        TypeError: it has no JSON form.
    """
    if isinstance(outcome, ToolResult):
        return outcome
    if isinstance(outcome, str):
        return ToolResult(outcome)
    if outcome is None:
        return ToolResult("Done.")
    if isinstance(outcome, BaseModel):
        outcome = outcome.model_dump(mode="json")
    text = json.dumps(outcome, ensure_ascii=False)
    data = outcome if isinstance(outcome, dict) else {"value": outcome}
    return ToolResult(text, data=data)


def declared_specs(manifest: Manifest) -> list[ToolSpec]:
    """Tools that can be offered before the plugin is imported."""
    return [
        ToolSpec(
            entry.name,
            entry.description,
            entry.parameters,
            entry.effect,
            manifest.name,
            entry.time_limit,
            entry.result_limit,
            contained=entry.contained,
            description_trusted=entry.description_trusted,
        )
        for entry in manifest.tools
        if entry.parameters is not None
    ]
