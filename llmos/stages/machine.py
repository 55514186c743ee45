"""LLM OS: the machine as it is now, part by part; each part names the tab that shows it whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llmos.kernel.protocol import NotAvailable
from llmos.plugins.contributions import Element
from llmos.stages.frame import (
    Control,
    Part,
    StageBase,
    StageContext,
    StageFigure,
    State,
    cited,
    live,
)

#: What a plugin's name says of its part of the machine.
_PARTS = {
    "disk": "Disk (files and their index)",
    "ram": "RAM (the window, paged)",
    "web": "Network (pages)",
    "code": "Classical computer (code)",
    "reason": "System 2 (time into accuracy)",
    "mcp": "Devices (tools of others)",
    "vision": "Images",
    "voice": "Sound",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One part of the machine.

    Attributes:
        part: what it is.
        now: its state in a few words.
        tab: id of the tab that shows it.
        title: that tab's name.
    """

    part: str
    now: str
    tab: str
    title: str


def gib(size: float) -> str:
    """Bytes in MB or GB."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


async def cells(context: StageContext) -> list[Cell]:
    """The machine's parts now: processor, memory, processes, jobs, plugins, modalities."""
    model = context.kernel.model
    if model is None:
        return []
    about = f"{model.name}, {model.parameters:,} parameters, {model.quantisation}"
    found = [Cell("Kernel (the model)", about, "models", "Models")]
    try:
        stats = await context.kernel.stats()
    except NotAvailable as error:
        found.append(Cell("CPU (the forward pass)", str(error), "models", "Models"))
    else:
        speed = f"{stats.tokens_per_second:.0f} tokens/s" if stats.tokens_per_second else "no answer yet"
        used = f"{stats.cells_used:,} of {stats.context:,} tokens"
        found += [
            Cell("CPU (the forward pass)", f"{stats.threads} threads, {speed}", "models", "Models"),
            Cell("RAM (context window)", used, "chat", "Chat"),
            Cell("Memory of the worker", gib(stats.resident_bytes), "models", "Models"),
            Cell("Processes (KV sequences)", _sequences(stats.sequences), "chat", "Chat"),
            Cell("Running and waiting", f"{stats.running} running, {stats.waiting} waiting", "chat", "Chat"),
        ]
    found += [*_jobs(context), *_plugins(context), *await _experts(context)]
    found.append(Cell("Modalities", modalities(context), "models", "Models"))
    return found


def _sequences(sequences: Sequence[Any]) -> str:
    shown = ", ".join(f"{one.name} {one.tokens}" for one in sequences[:4])
    return f"{len(sequences)}: {shown}" if shown else "none"


def _jobs(context: StageContext) -> list[Cell]:
    if "jobs" not in context.extras:
        return []
    names = [str(one.name) for one in context.extras["jobs"]()]
    return [Cell("Background jobs", ", ".join(names) or "none", "chat", "Chat")]


def _plugins(context: StageContext) -> list[Cell]:
    """What plugins bring: a cell a plugin, with its panel's tab where it has one, and its tools."""
    if "plugins" not in context.extras:
        return [Cell("Experts and tools", "plugins are not loaded here", "plugins", "Plugins")]
    found = []
    for plugin in context.extras["plugins"]():
        name = str(plugin["name"])
        tab, title = plugin["tab"] or ("plugins", "Plugins")
        part = _PARTS.get(name.removeprefix("llmos-"), f"Plugin {name}")
        tools = ", ".join(plugin["tools"])
        found.append(Cell(part, f"{plugin['state']}; tools: {tools}" if tools else plugin["state"], tab, title))
    return found or [Cell("Experts and tools", "no plugin is installed", "plugins", "Plugins")]


async def _experts(context: StageContext) -> list[Cell]:
    """Experts that plugins bring: a system prompt, tools and sampling under a name."""
    if "experts" not in context.extras:
        return []
    names = [str(one.name) for one in await context.extras["experts"]()]
    return [Cell("Experts (/persona)", ", ".join(names) or "none installed", "plugins", "Plugins")]


def modalities(context: StageContext) -> str:
    """What goes in and comes out: text always, others where a plugin brings them."""
    names = {str(one["name"]).removeprefix("llmos-") for one in _plugin_rows(context)}
    more = [word for name, word in (("vision", "images in"), ("voice", "sound in and out")) if name in names]
    return ", ".join(["text in and out", *more]) + ("" if more else "; no plugin for images or sound")


def _plugin_rows(context: StageContext) -> Sequence[dict[str, Any]]:
    rows: Sequence[dict[str, Any]] = context.extras["plugins"]() if "plugins" in context.extras else ()
    return rows


class MachineStage(StageBase):
    """The running program as an operating system."""

    id = "machine"
    title = "LLM OS"
    sentences = (
        "Seen from above a language model is the processor of a new kind of computer: files and web are its "
        "disk, the window its memory.",
        "Tools are its devices, longer thinking its System 2, plugins its applications.",
        "Below is this machine now; Enter on a row opens the tab that shows that part whole.",
    )
    question = "What is LLMOS?"

    def controls(self, context: StageContext) -> Sequence[Control]:
        """Look again."""
        return (Control("again", "button", "Look again", key="r"),)

    async def figures(self, context: StageContext) -> list[StageFigure]:
        """Every cell as a figure."""
        out = [live(one.part, one.now, context.model_name) for one in await cells(context)]
        karpathy = "A. Karpathy, Intro to LLMs (2023)"
        return [
            *out,
            cited("Where the picture is from", "the model as the kernel of an operating system", karpathy, "",
                  "a way of looking; nothing measured follows from it"),
            cited("System 2", "time turned into accuracy", karpathy, "",
                  "here: the reasoning plugin; what it gains is in benchmarks/results.md"),
            cited("Self-improvement", "an open question: AlphaGo had a game to win, language has no such score",
                  karpathy, "", "where results can be checked, reinforcement works: see RLHF"),
            cited("Customisation", "an app store of experts", karpathy, "", "here: plugins and their experts"),
        ]  # fmt: skip

    async def view(self, context: StageContext, state: State) -> list[Part]:
        """One row a part; how the worker's memory is spent."""
        found = await cells(context)
        rows = [[one.part, one.now, one.title] for one in found]
        keys = [f"tab:{one.tab}#{number}" for number, one in enumerate(found)]
        data = {"columns": ["part", "now", "tab"], "rows": rows, "keys": keys}
        parts = [Part(Element("table", data, "This machine"), "live", context.model_name)]
        model = context.kernel.model
        if model is not None and model.memory:
            bars = {"labels": list(model.memory), "values": [size / 1e6 for size in model.memory.values()]}
            parts.append(Part(Element("bars", bars, "Memory of the loaded model, MB"), "live", model.name))
        return parts

    async def act(self, context: StageContext, state: State, action: str) -> State:
        """Looking again draws anew."""
        return {**state, "looks": int(state.get("looks", 0)) + 1}
