"""What plugins contribute to the program, as data: commands, panels, status items, renderers.

A plugin describes; the face draws. So none of this imports Textual, and all of it can cross a
pipe to a plugin that runs in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from llmos.types import EffectClass, Message, Page, ToolResult


@dataclass(frozen=True, slots=True)
class Tool:
    """A function for the model to call.

    The schema comes from type hints and docstring (see ``llmos.plugins.tools.tool_spec``).

    Attributes:
        function: sync or async; may return ``str``, ``ToolResult`` or JSON-able data. A parameter
            named ``context`` of type ``ToolContext`` is filled by the program, not by the model.
        effect: what running it can change; decides what the guard asks.
        name: identifier; empty takes the function's name.
        description: empty takes the docstring's first paragraph.
        time_limit: seconds.
        result_limit: characters that enter the window.
        contained: as in ``ToolSpec``: the code that it runs is held in a sandbox by the system.
        description_trusted: as in ``ToolSpec``: False for a description that a server supplied.
        parameters: JSON schema of the arguments object, for functions that take any keyword
            (tools of others); None makes it from the type hints.
    """

    function: Callable[..., Any]
    effect: EffectClass = EffectClass.PURE
    name: str = ""
    description: str = ""
    time_limit: float = 30.0
    result_limit: int = 8_000
    contained: bool = False
    description_trusted: bool = True
    parameters: Mapping[str, Any] | None = None


@dataclass(slots=True)
class ToolContext:
    """What a running tool may use.

    Attributes:
        chat_id: the chat that the call belongs to.
        progress: shows partial output to the user.
        cancelled: true when the user stopped or the time is up; long tools must look.
    """

    chat_id: str = ""
    progress: Callable[[str], None] = lambda text: None
    cancelled: Callable[[], bool] = lambda: False


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument or option of a command."""

    name: str
    help: str = ""
    kind: Literal["text", "int", "float", "flag", "path", "choice"] = "text"
    required: bool = False
    many: bool = False
    option: bool = False
    default: Any = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CommandContext:
    """Where and how a command was called.

    Attributes:
        face: ``tui``, ``cli`` or ``serve``.
        chat_id: the open chat, or empty.
        write: shows a line of text at once.
        cancelled: true when the user stopped it.
    """

    face: str = "cli"
    chat_id: str = ""
    write: Callable[[str], None] = lambda text: None
    cancelled: Callable[[], bool] = lambda: False


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command gives back.

    Attributes:
        text: Markdown for the user.
        data: for ``--json``.
        ok: False makes the CLI's exit code 1.
        prompt: text to send as the user's next message, or empty.
    """

    text: str = ""
    data: Any = None
    ok: bool = True
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """One declaration gives a slash command, a palette entry and a CLI verb.

    Attributes:
        name: ``"disk add"`` is ``/disk add`` and ``llmos disk add``.
        function: ``function(context, **arguments)``, sync; returns text or ``CommandResult``.
        help: one sentence.
        parameters: arguments and options.
        faces: where it is offered.
    """

    name: str
    function: Callable[..., Any]
    help: str
    parameters: tuple[Parameter, ...] = ()
    faces: tuple[Literal["tui", "cli"], ...] = ("tui", "cli")


@dataclass(frozen=True, slots=True)
class Element:
    """One part of a panel.

    Kinds and their data:
        ``text``: ``{"markdown": str}``; ``table``: ``{"columns": [str], "rows": [[…]], "keys": [str]}``;
        ``bars``: ``{"labels": [str], "values": [float], "unit": str}``;
        ``plot``: ``{"series": [{"name", "x", "y", "dots"}], "x", "y"}``, with ``dots`` as points;
        ``cells``: ``{"cells": [{"label", "weight", "colour", "key"}]}``;
        ``progress``: ``{"done": float, "total": float, "text": str}``;
        ``form``: ``{"schema": JSON schema, "values": {…}, "action": str}``;
        ``actions``: ``{"actions": [{"id", "label", "key"}]}``.
    """

    kind: Literal["text", "table", "bars", "plot", "cells", "progress", "form", "actions"]
    data: Mapping[str, Any]
    title: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """A screen or side panel, drawn by the face from data.

    Attributes:
        id: identifier within the plugin.
        title: its tab's name.
        view: ``view() -> Sequence[Element]``; called again every ``refresh`` seconds while visible.
        act: ``act(action, value) -> None | str``: an action of the user; text becomes a notice.
        place: a tab of its own or the side panel.
        refresh: seconds between views; 0 only on change.
    """

    id: str
    title: str
    view: Callable[[], Sequence[Element]]
    act: Callable[[str, Any], str | None] | None = None
    place: Literal["tab", "side"] = "tab"
    refresh: float = 2.0


@dataclass(frozen=True, slots=True)
class StatusItem:
    """A short text in the status bar; ``view() -> str``, empty hides it."""

    id: str
    view: Callable[[], str]
    refresh: float = 2.0


@dataclass(frozen=True, slots=True)
class Renderer:
    """How results of one tool are drawn: ``view(result) -> Sequence[Element]``."""

    tool: str
    view: Callable[[ToolResult], Sequence[Element]]


@dataclass(frozen=True, slots=True)
class ModelOffer:
    """A model that a package brings or knows how to find."""

    name: str
    source: str  # local path, or org/repo[:quantisation]
    task: Literal["chat", "thinking", "code", "vision", "embedding"] = "chat"
    licence: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Persona:
    """An expert: system prompt, tools and sampling under a name."""

    name: str
    system_prompt: str
    tools: tuple[str, ...] = ()
    sampling: Mapping[str, float] = field(default_factory=dict)
    description: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """The turn that hooks are called for.

    Attributes:
        chat_id: the chat.
        user: the user's message.
        answer: the finished answer (``llmos_turn_done``), or what has come of it (``llmos_marks``).
        messages: the chat's messages on the current branch before ``user`` (in ``llmos_turn_done``
            before ``answer``, with what tools said), oldest first. Read on demand: ``messages[-20:]``
            costs no more in a long chat than in a short one.
        budget: tokens that ``llmos_context`` may bring in.
        window: pages now in the window.
        options: free values of this turn, for example attachments ``{"files": [...]}``.
    """

    chat_id: str
    user: Message
    answer: Message | None = None
    messages: Sequence[Message] = ()
    budget: int = 0
    window: Sequence[Page] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
