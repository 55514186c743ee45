"""Hooks of the reasoning plugin: the middleware, ``/think``, the status item."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from llmos.plugins import (
    Command,
    CommandContext,
    CommandResult,
    Host,
    Middleware,
    Next,
    Parameter,
    StatusItem,
    hookimpl,
)
from llmos.types import Event, TurnRequest, UserError
from llmos_reason.effort import Effort, following, in_words, parse_effort
from llmos_reason.tries import Plan, think
from llmos_reason.trivial import needs_no_thought

_KEY = "effort"
#: Most tries where a time is given: the tally is kept with the answer, so there must be an end.
MOST_TRIES_IN_TIME = 128


def effort_of(host: Host, request: TurnRequest) -> Effort:
    """Effort of a turn: its own option, else what ``/think`` set, else the setting."""
    asked = request.options.get("think")
    if asked is None:
        asked = host.store.get(_KEY)
    if asked is None:
        asked = host.settings.get("effort", "off")
    return parse_effort(asked)


@hookimpl
def llmos_generators(host: Host) -> dict[str, Middleware]:
    """Thinks where effort is asked for; else what is below answers, untouched."""
    import asyncio

    async def reason(request: TurnRequest, next_: Next) -> AsyncIterator[Event]:
        question = next((one.content for one in reversed(request.messages) if one.role == "user"), "")
        after_tool = bool(request.messages) and request.messages[-1].role == "tool"
        # Small talk is not even kept waiting for the settings to be read.
        plain = after_tool or bool(request.grammar) or needs_no_thought(question)
        effort = Effort() if plain else await asyncio.to_thread(effort_of, host, request)
        if effort.off:
            async for event in next_(request):
                yield event
            return
        settings = host.settings
        most = int(settings.get("most_tries", 32))
        plan = Plan(
            effort,
            # Where the user named a time, it is the time that ends an undecided vote.
            most=max(most, MOST_TRIES_IN_TIME) if effort.seconds else most,
            together=int(settings.get("together", 4)),
            threshold=float(settings.get("confidence", 0.95)),
            check=bool(settings.get("check", True)),
        )
        async for event in think(request, next_, plan):
            yield event

    return {"reason": reason}


@hookimpl
def llmos_commands(host: Host) -> Sequence[Command]:
    """``/think 30s``."""

    def set_effort(context: CommandContext, effort: str = "") -> CommandResult:
        if not effort.strip():
            now = parse_effort(host.store.get(_KEY) or host.settings.get("effort", "off"))
            text = (
                f"Thinking is {in_words(now)}. /think 20 s, /think 5 min, /think sure or /think off changes "
                "it, /think next goes through them."
            )
            return CommandResult(text, {"effort": in_words(now)})
        try:
            if effort.strip().casefold() == "next":
                now = parse_effort(host.store.get(_KEY) or host.settings.get("effort", "off"))
                effort = following(now)
            new = parse_effort(effort)
        except UserError as error:
            return CommandResult(str(error), ok=False)
        host.store.set(_KEY, in_words(new))
        return CommandResult(
            f"Thinking is {in_words(new)} from the next message on.", {"effort": in_words(new)}
        )

    parameter = Parameter("effort", "off, 20 s, 5 min, sure or next; nothing shows it", default="")
    return [Command("think", set_effort, "How long to think before an answer.", (parameter,))]


@hookimpl
def llmos_status(host: Host) -> Sequence[StatusItem]:
    """The effort, when it is not off."""

    def view() -> str:
        effort = parse_effort(host.store.get(_KEY) or host.settings.get("effort", "off"))
        return "" if effort.off else f"think {in_words(effort)}"

    return [StatusItem("effort", view)]
