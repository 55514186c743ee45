"""One tool call: checked against its schema, decided by the guard, approved, run, labelled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from llmos.conversation.generation import tool_named
from llmos.conversation.ports import Plugins
from llmos.guard.api import GuardApi, WindowState
from llmos.guard.calls import canonical
from llmos.plugins.contributions import ToolContext
from llmos.types import (
    Approval,
    ApprovalAnswer,
    Event,
    Notice,
    ToolAsked,
    ToolCall,
    ToolDone,
    ToolProgress,
    ToolResult,
    ToolSpec,
    UserError,
)

Emit = Callable[[Event], None]
Ask = Callable[[Approval], Awaitable[ApprovalAnswer]]

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list, tuple),
    "object": (dict,),
}

#: Marks the tool session of middleware's own calls.
APART = "apart"

#: How often the same call with the same arguments is answered in one turn.
MOST_REPEATS = 2


def canonical_call(call: ToolCall) -> str:
    """The exact call as one line of canonical JSON, as the guard compares calls."""
    try:
        return canonical(call)
    except (TypeError, ValueError, RecursionError):
        return repr(call)  # no plain JSON: good enough to notice a repeat, never equal to an approval


def fault_of_arguments(spec: ToolSpec, arguments: Mapping[str, Any]) -> str:
    """What is wrong with the arguments of a call, in a sentence for the model; empty when nothing."""
    properties: Mapping[str, Any] = spec.parameters.get("properties", {})
    missing = [name for name in spec.parameters.get("required", ()) if name not in arguments]
    if missing:
        return f"{spec.name} needs {', '.join(missing)}."
    if spec.parameters.get("additionalProperties", True) is False or properties:
        unknown = [name for name in arguments if name not in properties]
        if unknown and spec.parameters.get("additionalProperties") is not True:
            return f"{spec.name} does not take {', '.join(unknown)}; it takes {', '.join(properties)}."
    for name, value in arguments.items():
        schema = properties.get(name, {})
        kind = schema.get("type") if isinstance(schema, Mapping) else None
        allowed = _TYPES.get(kind) if isinstance(kind, str) else None
        if allowed and (not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed)):
            return f"{spec.name}: {name} must be of type {kind}."
        choices = schema.get("enum") if isinstance(schema, Mapping) else None
        if choices and value not in choices:
            return f"{spec.name}: {name} must be one of {', '.join(map(str, choices))}."
    return ""


class ToolRunner:
    """Runs the calls of one turn.

    Args:
        plugins: where tools are.
        guard: decides and labels.
        tools: what is on offer in this turn.
        window: makes the guard's view of the window, anew for each call.
        emit: takes events.
        ask: asks the user; never called where no user can be asked.
    """

    def __init__(
        self,
        plugins: Plugins,
        guard: GuardApi,
        tools: Sequence[ToolSpec],
        window: Callable[[], WindowState],
        emit: Emit,
        ask: Ask,
    ) -> None:
        self._plugins = plugins
        self._guard = guard
        self._tools = tools
        self._window = window
        self._emit = emit
        self._ask = ask
        self._seen: dict[str, int] = {}

    async def run(self, call: ToolCall) -> ToolResult:
        """Run one call; whatever happens comes back as a result that the model can read."""
        self._emit(ToolAsked(call))
        began = time.monotonic()
        result = await self._answer(call)
        self._emit(ToolDone(call, result, time.monotonic() - began))
        return result

    async def _answer(self, call: ToolCall) -> ToolResult:
        spec = tool_named(self._tools, call.name)
        if spec is None:
            names = ", ".join(tool.name for tool in self._tools)
            return self._refused(f"There is no tool {call.name}; there are: {names}.")
        if wrong := fault_of_arguments(spec, call.arguments):
            return self._refused(wrong)
        exact = canonical_call(call)
        self._seen[exact] = self._seen.get(exact, 0) + 1
        if self._seen[exact] > MOST_REPEATS:
            return self._refused("This exact call was made already; its result is above.")
        window = self._window()
        refusal = await self._permission(call, spec, window)
        if refusal:
            return self._refused(refusal)
        result = await self._plugins.call_tool(call, self._context(call, window))
        return self._guard.label_result(spec, result, window)

    async def silently(self, name: str, arguments: Mapping[str, Any]) -> ToolResult | None:
        """Run a call that middleware makes for itself; ``llmos.types.ToolAccess``.

        Nobody is asked and nothing is shown: what is not on offer, not well-formed or not allowed
        outright is not run. It has a tool session of its own beside the chat's, whose variables and
        handed files it can neither see nor change.

        Args:
            name: a tool that is on offer in this turn.
            arguments: as the model would give them.

        Returns:
            The labelled result, or None when it was not run.
        """
        spec = tool_named(self._tools, name)
        if spec is None or fault_of_arguments(spec, arguments):
            return None
        call = ToolCall(name, dict(arguments))
        window = self._window()
        if self._guard.decide(call, spec, window).verdict != "allow":
            return None
        apart = ToolContext(chat_id=f"{window.chat_id}#{APART}")
        result = await self._plugins.call_tool(call, apart)
        return self._guard.label_result(spec, result, window)

    def _refused(self, text: str) -> ToolResult:
        """A result that says why not; it repeats the model's words, so it carries their labels."""
        return ToolResult(self._guard.clean(text), ok=False, labels=self._guard.label_answer(self._window()))

    @property
    def stuck(self) -> bool:
        """True when the model makes the same call again and again."""
        return any(count > MOST_REPEATS for count in self._seen.values())

    async def _permission(self, call: ToolCall, spec: ToolSpec, window: WindowState) -> str:
        """Empty when the call may run, else why not."""
        decision = self._guard.decide(call, spec, window)
        if decision.verdict == "allow":
            return ""
        if decision.verdict == "ask" and decision.approval is not None and window.face_can_ask:
            answer = await self._ask(decision.approval)
            if answer in decision.approval.scopes:
                try:
                    self._guard.remember(decision.approval, answer, window.chat_id)
                except UserError as error:  # approved it is; only the next time will be asked again
                    self._emit(Notice(str(error), "warning"))
                return ""
            return f"The user refused the call of {call.name}."
        return f"The call of {call.name} was refused: {decision.reason}"

    def _context(self, call: ToolCall, window: WindowState) -> ToolContext:
        """What the tool may use; its progress comes from whatever thread it runs on."""
        loop = asyncio.get_running_loop()
        clean = self._guard.clean

        def progress(text: str) -> None:
            loop.call_soon_threadsafe(self._emit, ToolProgress(call, clean(text)))

        return ToolContext(chat_id=window.chat_id, progress=progress)
