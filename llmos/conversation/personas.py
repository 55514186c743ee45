"""An expert for a chat or a turn: what a persona of a plugin sets, under what the chat itself sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmos.conversation.ports import Plugins
from llmos.types import UserError


async def with_persona(chat: Mapping[str, Any], plugins: Plugins, options: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a chat with those of its persona below them.

    Args:
        chat: the chat's own; ``persona`` names one.
        plugins: bring the personas.
        options: settings of the turn; ``persona`` there comes first.

    Raises:
        UserError: no plugin brings a persona of that name.
    """
    name = options.get("persona", chat.get("persona"))
    if not name:
        return dict(chat)
    every = await plugins.personas()
    found = next((one for one in every if one.name.casefold() == str(name).casefold()), None)
    if found is None:
        known = ", ".join(one.name for one in every) or "none"
        raise UserError(f"There is no expert {name!r}; there are: {known}. Choose another with /persona.")
    below: dict[str, Any] = {"system_prompt": found.system_prompt, **found.sampling}
    if found.tools:
        below["tools"] = list(found.tools)
    return {**below, **{key: value for key, value in chat.items() if value is not None}}
