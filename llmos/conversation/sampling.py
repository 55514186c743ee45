"""How an answer is made: the user's settings, laid over by the chat's and by the turn's options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from llmos.formats import DEFAULT_SYSTEM_PROMPT
from llmos.kernel.protocol import ModelInfo
from llmos.settings import ChatSettings
from llmos.types import SamplingSettings, ToolSpec, UserError

#: Temperature of the program's own models where the user has set none.
OWN_TEMPERATURE = 0.2

_NUMBERS = {field.name for field in fields(SamplingSettings)}


def is_own(model: ModelInfo | None) -> bool:
    """Whether it is one of the program's own models."""
    return model is not None and model.name.lower().startswith("llmos")


def sampling_for(
    settings: ChatSettings,
    chat: Mapping[str, Any],
    options: Mapping[str, Any],
    model: ModelInfo | None = None,
) -> SamplingSettings:
    """Sampling settings of a turn; the turn's options win over the chat's, these over the user's.

    The program's own models are far too small for the usual temperature: where nobody has set
    one, they get one of their own.

    Raises:
        UserError: a value is no number or out of range.
    """
    values: dict[str, Any] = {
        "temperature": OWN_TEMPERATURE
        if is_own(model) and "temperature" not in settings.model_fields_set
        else settings.temperature,
        "top_k": settings.top_k,
        "top_p": settings.top_p,
        "min_p": settings.min_p,
    }
    for source in (chat, options):
        values.update({name: source[name] for name in _NUMBERS if source.get(name) is not None})
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UserError(f"{name} must be a number, not {value!r}.")
    if values["temperature"] < 0 or not 0 < values["top_p"] <= 1 or not 0 <= values["min_p"] <= 1:
        raise UserError("temperature must be 0 or more, top_p above 0 and at most 1, min_p from 0 to 1.")
    return SamplingSettings(**values)


def max_tokens_for(settings: ChatSettings, chat: Mapping[str, Any], options: Mapping[str, Any]) -> int | None:
    """Most tokens of the answer; None for what fits."""
    for source in (options, chat):
        value = source.get("max_tokens")
        if value:
            return int(value)
    return settings.max_tokens or None


def system_prompt_for(
    settings: ChatSettings, chat: Mapping[str, Any], options: Mapping[str, Any], model: ModelInfo | None
) -> str:
    """The system prompt; the program's own models get the one that they were trained with."""
    for source in (options, chat):
        value = source.get("system_prompt")
        if value:
            return str(value)
    if settings.system_prompt:
        return settings.system_prompt
    if is_own(model):
        return DEFAULT_SYSTEM_PROMPT
    return ""


def tools_for(tools: list[ToolSpec], chat: Mapping[str, Any], options: Mapping[str, Any]) -> list[ToolSpec]:
    """Tools of a turn: all, or those that the turn, else the chat (its persona), names."""
    names = options.get("tools", chat.get("tools"))
    return tools if names is None else [tool for tool in tools if tool.name in names]
