"""Every hook that a plugin can implement, in one place.

A plugin is a module (entry point in the group ``llmos``, or one file in the plugin folder) with
functions of these names marked by ``@hookimpl``. Hooks return data; they run on worker threads
under a deadline, so they are ordinary sync functions and may block for a moment.

    from llmos.plugins import hookimpl, Tool

    @hookimpl
    def llmos_tools(host):
        return [Tool(my_function)]
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pluggy

from llmos.plugins.contributions import (
    Command,
    ModelOffer,
    Panel,
    Persona,
    Renderer,
    StatusItem,
    Tool,
    Turn,
)
from llmos.plugins.host_api import Host
from llmos.types import Event, Mark, Page, TurnRequest

#: Version of this surface; a manifest names the range that it works with.
HOOK_API = "1.0"

hookspec = pluggy.HookspecMarker("llmos")
hookimpl = pluggy.HookimplMarker("llmos")

#: Divides the list that ``llmos_evict`` gives.
EVICT_ONLY_IF_NEEDED = ""

Next = Callable[[TurnRequest], AsyncIterator[Event]]
Middleware = Callable[[TurnRequest, Next], AsyncIterator[Event]]


@hookspec
def llmos_start(host: Host) -> None:
    """Once after loading, before any other hook: keep ``host``, open what is needed, lazily."""


@hookspec
def llmos_stop(host: Host) -> None:
    """Once before unloading: close files, end threads."""


@hookspec
def llmos_tools(host: Host) -> Sequence[Tool]:
    """Functions that the model may call."""
    return ()


@hookspec
def llmos_context(host: Host, turn: Turn) -> Sequence[Page]:
    """Pages to bring into the window before the user's message, best first, within ``turn.budget``."""
    return ()


@hookspec(firstresult=True)
def llmos_evict(host: Host, window: Sequence[Page], need: int) -> Sequence[str] | None:
    """Ids of pages in the order in which to evict them until ``need`` tokens are free.

    The first plugin that answers decides; the core then evicts in that order and never evicts
    pinned pages. None leaves it to the next plugin, at last to the core (oldest unpinned first).
    An empty id (``EVICT_ONLY_IF_NEEDED``) divides the list: what comes after it, and what the list
    leaves out, goes only where the user's message would not fit otherwise, not for free room.
    """


@hookspec
def llmos_marks(host: Host, turn: Turn) -> Sequence[Mark]:
    """Marks on parts of an answer, such as sentences that no passage supports; be quick.

    Called while passages are in the window: at the end of each sentence that is written, with
    ``turn.answer`` as far as it has come, and once more when the answer stands. Give every mark of
    the text each time; those that were given before are not shown twice.
    """
    return ()


@hookspec
def llmos_turn_done(host: Host, turn: Turn) -> None:
    """After a turn, off the critical path: remember, index, summarise."""


@hookspec
def llmos_generators(host: Host) -> dict[str, Middleware]:
    """Named middleware around generation: ``async def (request, next)`` yields events.

    ``next`` may be called several times (N samples). In process only: the core composes them,
    each layer with its own fault boundary and deadline. The request's options hold ``answer_now``
    (the user wants the answer at once) and ``call_tool`` (runs a tool that is on offer where the
    guard allows it without asking; see ``llmos.types.AnswerNow`` and ``ToolAccess``).
    """
    return {}


@hookspec
def llmos_commands(host: Host) -> Sequence[Command]:
    """Slash commands, palette entries and CLI verbs from one declaration."""
    return ()


@hookspec
def llmos_panels(host: Host) -> Sequence[Panel]:
    """Panels, as data."""
    return ()


@hookspec
def llmos_status(host: Host) -> Sequence[StatusItem]:
    """Items of the status bar, as data."""
    return ()


@hookspec
def llmos_renderers(host: Host) -> Sequence[Renderer]:
    """How a kind of tool result is drawn, as data."""
    return ()


@hookspec
def llmos_models(host: Host) -> Sequence[ModelOffer]:
    """Models that the package brings or knows how to find."""
    return ()


@hookspec
def llmos_personas(host: Host) -> Sequence[Persona]:
    """Experts: a system prompt, a tool set and sampling settings."""
    return ()


@hookspec
def llmos_widgets(host: Host) -> Sequence[Any]:
    """Textual widget classes, for the few plugins that want their own (in process, TUI only)."""
    return ()
