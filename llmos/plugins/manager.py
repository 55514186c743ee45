"""The plugins of a running program, as the conversation core and the faces use them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from llmos.plugins.contributions import (
    CommandContext,
    CommandResult,
    Element,
    ModelOffer,
    Persona,
    ToolContext,
    Turn,
)
from llmos.plugins.hookspecs import EVICT_ONLY_IF_NEEDED, Middleware
from llmos.plugins.manifest import CommandEntry, PanelEntry, StatusEntry
from llmos.plugins.registry import Registry, Slot
from llmos.plugins.results import READ_RESULT, ResultShelf
from llmos.plugins.tools import BadArguments
from llmos.plugins.workers import TooSlow
from llmos.types import (
    Confidentiality,
    EffectClass,
    Integrity,
    Labels,
    Mark,
    Page,
    ToolCall,
    ToolResult,
    ToolSpec,
    UserError,
)

T = TypeVar("T")

#: A tool that was told to stop has this long to return what it has.
_GRACE = 1.0

_EFFECTS = list(EffectClass)


class PluginManager(Registry):
    """All plugins behind one object; implements ``llmos.conversation.ports.Plugins``.

    No method raises what a plugin raised: it is counted, told in one line, and what the others
    gave is returned.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """As ``Registry``."""
        super().__init__(*arguments, **options)
        self._shelf = ResultShelf()
        self._middleware: dict[str, dict[str, Middleware]] = {}
        self._turns: set[asyncio.Task[None]] = set()
        self._told: set[str] = set()

    # what the conversation core calls

    async def prepare(self) -> None:
        """Load what must be known before a turn: tools without a declared schema, middleware.

        Cheap when there is nothing to do; ``context`` calls it too.
        """
        waiting: list[Slot] = []
        for slot in self.plugins():
            undeclared = slot.declares("llmos_tools") and not _all_tools_declared(slot)
            if slot.usable and slot.place is None and (undeclared or slot.declares("llmos_generators")):
                waiting.append(slot)
        if waiting:
            await asyncio.gather(*(self.load(slot.name) for slot in waiting))
        for slot in self.plugins():
            if slot.stale and slot.place is not None:
                slot.stale = False
                await self._ask_tools(slot)
            if slot.place is None:
                self._middleware.pop(slot.name, None)
            elif slot.declares("llmos_generators") and slot.name not in self._middleware:
                self._middleware[slot.name] = await self._hook(slot, "llmos_generators", {}, {})

    async def _ask_tools(self, slot: Slot) -> None:
        """Have a loaded plugin say anew what its tools are; the old ones stay when it fails."""
        deadline = slot.deadline("llmos_tools")
        slot.specs = await self._guarded(slot, "llmos_tools", lambda place: place.specs(deadline), slot.specs)

    async def context(self, turn: Turn) -> list[Page]:
        """Pages to bring in, best first within each plugin, together within ``turn.budget`` tokens."""
        await self.prepare()
        slots = list(self._with("llmos_context"))
        answers = await asyncio.gather(
            *(self._hook(slot, "llmos_context", {"turn": turn}, list[Page]()) for slot in slots)
        )
        pages: list[Page] = []
        left = turn.budget
        for slot, answer in zip(slots, answers, strict=True):
            for page in answer:
                # A page that does not say how long it is counts by its characters.
                size = page.tokens or (len(page.text) + 3) // 4
                if size > left:
                    continue
                left -= size
                page.labels = _labels_of(slot, page.labels)
                pages.append(page)
        return pages

    async def evict(self, window: Sequence[Page], need: int) -> list[str] | None:
        """The first plugin's order of eviction, unknown and pinned pages left out; None without one."""
        allowed = {EVICT_ONLY_IF_NEEDED, *(page.id for page in window if not page.pinned)}
        for slot in list(self._with("llmos_evict")):
            order = await self._hook(slot, "llmos_evict", {"window": window, "need": need}, None)
            if order is not None:
                return [page for page in dict.fromkeys(order) if page in allowed]
        return None

    async def marks(self, turn: Turn) -> list[Mark]:
        """Marks on ``turn.answer``, those that lie within its text, in its order."""
        slots = list(self._with("llmos_marks"))
        arguments = {"turn": turn}
        answers = await asyncio.gather(
            *(self._hook(slot, "llmos_marks", arguments, list[Mark]()) for slot in slots)
        )
        text = turn.answer.content if turn.answer else ""
        found = [
            dataclasses.replace(mark, plugin=slot.name)
            for slot, marks in zip(slots, answers, strict=True)
            for mark in marks
            if 0 <= mark.start < mark.end and text[mark.start : mark.end] == mark.text
        ]
        return sorted(found, key=lambda mark: (mark.start, mark.end))

    async def turn_done(self, turn: Turn) -> None:
        """Tell every plugin that a turn ended; returns at once, they work on in the background."""
        for slot in list(self._with("llmos_turn_done")):
            task = asyncio.get_running_loop().create_task(
                self._hook(slot, "llmos_turn_done", {"turn": turn}, None)
            )
            self._turns.add(task)
            task.add_done_callback(self._turns.discard)

    async def settle(self) -> None:
        """Wait until the work of ``turn_done`` has ended (each within its deadline)."""
        if self._turns:
            await asyncio.gather(*self._turns, return_exceptions=True)

    def tools(self) -> list[ToolSpec]:
        """Tools on offer now; of two with one name the first plugin's stays."""
        return [spec for _, spec in self._offers().values()] + ([READ_RESULT] if self._shelf.used else [])

    def _offers(self) -> dict[str, tuple[Slot, ToolSpec]]:
        offers: dict[str, tuple[Slot, ToolSpec]] = {}
        for slot in self._with("llmos_tools"):
            for spec in slot.specs:
                other = offers.get(spec.name)
                if other is None:
                    offers[spec.name] = (slot, _effective(slot, spec))
                elif spec.name not in self._told:
                    self._told.add(spec.name)
                    self._notify(
                        f"Two plugins bring a tool {spec.name}; that of {other[0].name} is used, "
                        f"not that of {slot.name}.",
                        "warning",
                    )
        return offers

    async def call_tool(self, call: ToolCall, context: ToolContext) -> ToolResult:
        """Run one call under its time limit; errors come back as a result with ``ok`` False."""
        if call.name == READ_RESULT.name and self._shelf.used:
            return self._shelf.read(call.arguments)
        offers = self._offers()
        if call.name not in offers:
            names = ", ".join(offers) or "none"
            return ToolResult(f"There is no tool {call.name}; the tools are: {names}.", ok=False)
        slot, spec = offers[call.name]
        stop = threading.Event()
        inner = ToolContext(context.chat_id, context.progress, lambda: stop.is_set() or context.cancelled())
        timer = asyncio.get_running_loop().call_later(spec.time_limit, stop.set)
        try:
            result = await self._traced(
                slot,
                f"tool {spec.name}",
                lambda place: place.tool(spec.name, call.arguments, inner, spec.time_limit + _GRACE),
            )
        except BadArguments as error:
            return ToolResult(str(error), ok=False)
        except UserError as error:
            return ToolResult(str(error), ok=False, labels=_labels_of(slot, ToolResult("").labels))
        except TooSlow as error:
            self._faults.add(slot.name, f"the tool {spec.name}", error)
            text = f"{spec.name} was stopped: it took longer than {spec.time_limit:g} s."
            return ToolResult(text, ok=False)
        except Exception as error:
            fault = self._faults.add(slot.name, f"the tool {spec.name}", error)
            return ToolResult(f"{spec.name} failed: {fault.text}", ok=False, labels=_labels_of(slot, None))
        finally:
            stop.set()  # whoever still works for this call may stop
            timer.cancel()
        result = dataclasses.replace(result, labels=_labels_of(slot, result.labels))
        return self._shelf.cut(result, spec.result_limit)

    def middleware(self) -> list[tuple[str, Middleware]]:
        """Middleware of the plugins that ``prepare`` loaded, outermost first."""
        return [
            (slot.name, layer)
            for slot in self._with("llmos_generators")
            for layer in self._middleware.get(slot.name, {}).values()
        ]

    # what the faces call

    def commands(self) -> list[tuple[str, CommandEntry]]:
        """Commands on offer: (plugin, declaration); names unique."""
        offers: dict[str, tuple[str, CommandEntry]] = {}
        for slot in self._with("llmos_commands"):
            for entry in slot.manifest.commands:
                offers.setdefault(entry.name, (slot.name, entry))
        return list(offers.values())

    async def run_command(
        self, name: str, arguments: Mapping[str, Any], context: CommandContext
    ) -> CommandResult:
        """Run a command until it returns; what goes wrong is the result's text, with ``ok`` False."""
        offers = {entry.name: (plugin, entry) for plugin, entry in self.commands()}
        if name not in offers:
            return CommandResult(f"There is no command {name}.", ok=False)
        plugin, entry = offers[name]
        if problem := fault_of_command(entry, arguments):
            return CommandResult(problem, ok=False)
        slot = self.plugin(plugin)
        arguments = {**defaults_of(entry), **arguments}
        stop = threading.Event()
        inner = dataclasses.replace(context, cancelled=lambda: stop.is_set() or context.cancelled())
        try:
            return await self._traced(
                slot, f"command {name}", lambda place: place.command(name, arguments, inner)
            )
        except UserError as error:
            return CommandResult(str(error), ok=False)
        except Exception as error:
            fault = self._faults.add(slot.name, f"the command {name}", error)
            return CommandResult(str(fault), ok=False)
        finally:
            stop.set()

    def panels(self) -> list[tuple[str, PanelEntry]]:
        """Panels on offer: (plugin, declaration)."""
        return [(slot.name, entry) for slot in self._with("llmos_panels") for entry in slot.manifest.panels]

    async def view_panel(self, plugin: str, panel: str) -> list[Element]:
        """What a panel shows now; a fault shows as text."""
        slot = self.plugin(plugin)
        if not slot.usable:
            return [Element("text", {"markdown": f"The plugin {plugin} is {slot.state}: {slot.reason}"})]
        fallback = [Element("text", {"markdown": f"The plugin {plugin} failed; its screen tells why."})]
        return await self._part(slot, "view_panel", fallback, panel)

    async def act_panel(self, plugin: str, panel: str, action: str, value: Any = None) -> str | None:
        """Hand a user's action to a panel; text comes back as a notice."""
        nothing: str | None = None
        return await self._part(self.plugin(plugin), "act_panel", nothing, panel, action, value)

    def status_items(self) -> list[tuple[str, StatusEntry]]:
        """Status items on offer: (plugin, declaration)."""
        return [(slot.name, entry) for slot in self._with("llmos_status") for entry in slot.manifest.status]

    async def view_status(self, plugin: str, item: str) -> str:
        """Text of a status item, empty when it failed."""
        text: str = await self._part(self.plugin(plugin), "view_status", "", item)
        return " ".join(text.split())[:80]

    async def render(self, tool: str, result: ToolResult) -> list[Element] | None:
        """How a result of a tool is drawn; None without a renderer."""
        for slot in list(self._with("llmos_renderers")):
            if any(entry.tool == tool for entry in slot.manifest.renderers):
                nothing: list[Element] | None = None
                return await self._part(slot, "render", nothing, tool, result)
        return None

    async def _part(self, slot: Slot, method: str, fallback: T, *arguments: Any) -> T:
        """A view of a panel, status item or renderer."""
        where = f"{method} {arguments[0]}"
        deadline = slot.deadline(method)
        return await self._guarded(
            slot, where, lambda place: place.part(method, *arguments, deadline=deadline), fallback
        )

    async def models(self) -> list[ModelOffer]:
        """Models that plugins bring or know: from manifests, and from the hook where there is one."""
        offers = [
            ModelOffer(entry.name, entry.source, entry.task, entry.licence, entry.description)
            for slot in self.plugins()
            if slot.usable
            for entry in slot.manifest.models
        ]
        for slot in list(self._with("llmos_models")):
            offers += await self._hook(slot, "llmos_models", {}, list[ModelOffer]())
        return offers

    async def personas(self) -> list[Persona]:
        """Experts: from manifests, and from the hook where there is one."""
        experts = [
            Persona(entry.name, entry.system_prompt, entry.tools, entry.sampling, entry.description)
            for slot in self.plugins()
            if slot.usable
            for entry in slot.manifest.personas
        ]
        for slot in list(self._with("llmos_personas")):
            experts += await self._hook(slot, "llmos_personas", {}, list[Persona]())
        return experts

    async def widgets(self) -> list[Any]:
        """Textual widget classes of plugins that bring their own (in process, TUI only)."""
        found: list[Any] = []
        for slot in list(self._with("llmos_widgets")):
            found += await self._hook(slot, "llmos_widgets", {}, list[Any]())
        return found

    async def close(self) -> None:
        """Stop every plugin; background work of the last turn has a moment to end."""
        if self._turns:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.settle(), 3.0)
        self._middleware.clear()
        await super().close()

    async def _hook(self, slot: Slot, hook: str, arguments: Mapping[str, Any], fallback: Any) -> Any:
        deadline = slot.deadline(hook)
        return await self._guarded(slot, hook, lambda place: place.hook(hook, arguments, deadline), fallback)


def defaults_of(entry: CommandEntry) -> dict[str, Any]:
    """What a command is given for parameters that the user left out."""
    result: dict[str, Any] = {}
    for one in entry.parameters:
        if not one.required:
            empty: Any = [] if one.many else False if one.kind == "flag" else None
            result[one.name] = empty if one.default is None else one.default
    return result


def fault_of_command(entry: CommandEntry, arguments: Mapping[str, Any]) -> str:
    """What is wrong with a command's arguments, in a sentence; empty when nothing."""
    known = {one.name: one for one in entry.parameters}
    for name, value in arguments.items():
        if name not in known:
            takes = ", ".join(known) or "nothing"
            return f"/{entry.name} takes {takes}; it has no {name}."
        if known[name].choices and value not in (None, *known[name].choices):
            return f"/{entry.name}: {name} is one of {', '.join(known[name].choices)}."
    missing = [
        one.name for one in entry.parameters if one.required and arguments.get(one.name) in (None, "", [])
    ]
    if missing:
        return f"/{entry.name} needs {', '.join(missing)}: {known[missing[0]].help or entry.help}"
    return ""


def _all_tools_declared(slot: Slot) -> bool:
    """Whether the manifest tells everything about the tools (none at all: they are known only once loaded)."""
    tools = slot.manifest.tools
    return bool(tools) and all(entry.parameters is not None for entry in tools)


def _labels_of(slot: Slot, labels: Labels | None) -> Labels:
    """What a plugin in its own process says of a text is not believed: it counts as untrusted."""
    given = labels or Labels(frozenset({f"tool:{slot.name}"}), Integrity.TRUSTED, Confidentiality.PUBLIC)
    if not slot.isolated:
        return given
    return given.join(Labels(frozenset({f"plugin:{slot.name}"}), Integrity.UNTRUSTED, Confidentiality.PUBLIC))


def _effective(slot: Slot, spec: ToolSpec) -> ToolSpec:
    """A tool's effect as the guard must see it: of a plugin that is not trusted, the worst it declared."""
    if not slot.isolated:
        return spec
    needs = slot.manifest.needs
    effect = spec.effect
    for possible, wanted in (
        (EffectClass.READ, needs.files == "read"),
        (EffectClass.NETWORK, needs.network),
        (EffectClass.WRITE, needs.files == "write"),
        (EffectClass.EXECUTE, needs.execute),
    ):
        if wanted and _EFFECTS.index(possible) > _EFFECTS.index(effect):
            effect = possible
    # Descriptions in the manifest were shown at install; any other came from the plugin afterwards.
    shown = any(
        entry.name == spec.name and entry.description == spec.description for entry in slot.manifest.tools
    )
    return dataclasses.replace(
        spec, effect=effect, contained=False, description_trusted=spec.description_trusted and shown
    )
