"""Hooks of the RAM plugin: paging of the window, memories, the memory map."""

from __future__ import annotations

from collections.abc import Sequence

from llmos.plugins import Command, Host, Panel, StatusItem, Tool, ToolContext, Turn, hookimpl
from llmos.types import EffectClass, Page, ToolResult, join_labels
from llmos_ram import memories as memory_facts
from llmos_ram.commands import commands
from llmos_ram.memory_map import MemoryMap
from llmos_ram.pager import Pager, when

_pagers: dict[int, Pager] = {}


def pager_of(host: Host) -> Pager:
    """The pager of this host; made at its first use, so that starting costs nothing."""
    pager = _pagers.get(id(host))
    if pager is None:
        pager = _pagers[id(host)] = Pager(host)
    return pager


@hookimpl
def llmos_stop(host: Host) -> None:
    """Close the index."""
    pager = _pagers.pop(id(host), None)
    if pager is not None:
        pager.close()


@hookimpl
def llmos_context(host: Host, turn: Turn) -> Sequence[Page]:
    """Memories and evicted pages that the user's text calls for."""
    return pager_of(host).context(turn)


@hookimpl
def llmos_evict(host: Host, window: Sequence[Page], need: int) -> Sequence[str] | None:
    """Small talk first, then questions and answers, facts last."""
    return pager_of(host).evict(window, need)


@hookimpl
def llmos_turn_done(host: Host, turn: Turn) -> None:
    """Index what was said."""
    pager_of(host).turn_done(turn)


@hookimpl
def llmos_tools(host: Host) -> Sequence[Tool]:
    """``remember`` and ``recall``, as the model knows them."""

    def remember(text: str, context: ToolContext) -> ToolResult:
        """Keep a fact that the user asked to remember.

        Args:
            text: the fact in one sentence.
        """
        pager = pager_of(host)
        labels = host.window_labels(context.chat_id)
        try:
            kept = memory_facts.remember(pager.store, text, labels, context.chat_id)
        except ValueError as error:
            return ToolResult(str(error), ok=False)
        if kept.known:
            return ToolResult("That is remembered already.")
        old = f" It replaces: {kept.replaced[-1].text}" if kept.replaced else ""
        return ToolResult(f"Remembered.{old}", labels=labels)

    def recall(query: str, context: ToolContext) -> ToolResult:
        """Search what was said earlier, and the memories.

        Args:
            query: what to look for.
        """
        pager = pager_of(host)
        budget = int(host.settings.get("recall_tokens", 512))
        found = memory_facts.find(pager.store, query)
        pages = pager.recall(query, context.chat_id, budget=budget, limit=8)
        lines = [f"memory, {when(memory.created)}: {memory.text}" for memory in found]
        lines += [f"{one.page.role}, {when(one.page.created)}: {one.page.text}" for one in pages]
        left = budget - sum(host.count_tokens(one.page.text) + 16 for one in pages)
        rows = [one.page.row for one in pages]
        summaries = pager.summaries.recall(query, context.chat_id, budget=left, brought=rows)
        lines += [f"{page.source}: {page.text}" for page in summaries]
        if not lines:
            return ToolResult("Nothing was found.")
        labels = join_labels(
            [one.labels for one in found]
            + [one.labels for one in summaries]
            + [one.page.labels for one in pages]
        )
        return ToolResult("\n".join(lines), labels=labels)

    return [Tool(remember, effect=EffectClass.MEMORY), Tool(recall, effect=EffectClass.READ)]


@hookimpl
def llmos_commands(host: Host) -> Sequence[Command]:
    """``/remember``, ``/forget``, ``/memories`` and ``ram …``."""
    return commands(lambda: pager_of(host))


@hookimpl
def llmos_panels(host: Host) -> Sequence[Panel]:
    """The memory map."""
    view = MemoryMap(lambda: pager_of(host))
    return [Panel("map", "Memory", view.elements, view.act)]


@hookimpl
def llmos_status(host: Host) -> Sequence[StatusItem]:
    """How much was recalled in this chat."""

    def view() -> str:
        pager = _pagers.get(id(host))
        if pager is None or not pager.last_chat:
            return ""
        recalled = int(pager.store.turn_figures(pager.last_chat)["recalled"])
        return f"{recalled} recalled" if recalled else ""

    return [StatusItem("recalled", view)]
