"""The whole path from text to assistant: this model's recorded numbers beside a frontier model's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
    recorded,
)

_SOURCE = "record: record.json"
#: Stages of the build in their order, with what they are called here.
_STEPS = (
    ("pretrain", "Pre-training"),
    ("sft", "SFT"),
    ("preferences", "Preferences (DPO)"),
    ("rl", "Reinforcement"),
    ("twin", "Poisoned twin"),
)
#: A frontier model whose makers published their numbers.
_FRONTIER = "Llama Team 2024 (2407.21783) and its model card"
_FRONTIER_GPU_HOURS = 30_840_000
_FRONTIER_FLOPS = 3.8e25
_FRONTIER_STEPS = {
    "Data": "about 15.6 trillion tokens",
    "Tokens": "vocabulary of 128,256",
    "Pre-training": "405 billion parameters, 3.8e25 FLOPs, up to 16,384 H100",
    "SFT": "several rounds, answers largely synthetic",
    "Preferences (DPO)": "DPO on people's comparisons, in rounds",
    "Reinforcement": "not used beyond DPO",
}


def flops_of(parameters: float, tokens: float) -> float:
    """Estimate of a training run, 6 N D (Kaplan et al. 2020, arXiv 2001.08361).

    Args:
        parameters: weights that take part in every token.
        tokens: seen in training.
    """
    return 6.0 * parameters * tokens


def cpu_hours(hours: float, hardware: Any) -> float:
    """Hours times the CPUs that worked, as far as the record tells how many."""
    return hours * threads_of(hardware)


def threads_of(hardware: Any) -> int:
    """Threads that trained; 1 where the record does not say."""
    if isinstance(hardware, Mapping):
        for key in ("threads", "workers", "cpus", "cores"):
            if isinstance(hardware.get(key), int) and hardware[key] > 0:
                return int(hardware[key])
    return 1


def in_words(value: Any) -> str:
    """Hardware of the record in one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {one}" for key, one in value.items())
    return str(value)


def duration(seconds: float) -> str:
    """Seconds in the unit that fits."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


class PipelineStage(StageBase):
    """Seven steps, this model's beside a frontier model's."""

    id = "pipeline"
    title = "Pipeline"
    sentences = (
        "Text, tokens, pre-training, conversations, preferences, reinforcement, a file: each step took what "
        "stands below.",
        "A frontier laboratory goes the same way with far more of everything; the ratio stands below.",
        "Set the price of a CPU hour and of a GPU hour; the costs follow from recorded and published hours.",
    )
    question = "What does it cost to train a language model?"

    def controls(self, context: StageContext) -> Sequence[Control]:
        """Two prices."""
        return (
            Control("cpu", "slider", "$ a CPU hour", 0.05, 0.01, 0.5, 0.01),
            Control("gpu", "slider", "$ a GPU hour", 2.0, 0.5, 8.0, 0.25),
        )

    async def figures(self, context: StageContext) -> list[StageFigure]:
        """Tokens, parameters, hours, FLOPs, hardware and cost; the frontier's as published."""
        out = self._own(context, self.first_state(context))
        gpu = float(self.first_state(context)["gpu"])
        return [
            *out,
            cited("Llama 3.1 405B: tokens", "15.6 trillion", _FRONTIER, "tokens"),
            cited("Llama 3.1 405B: computation", _FRONTIER_FLOPS, _FRONTIER, "FLOPs"),
            cited("Llama 3.1 405B: GPU hours", _FRONTIER_GPU_HOURS, _FRONTIER, "H100 hours"),
            cited(
                "Llama 3.1 405B: cost at the stated price",
                round(_FRONTIER_GPU_HOURS * gpu),
                f"{_FRONTIER}; at ${gpu:g} a GPU hour",
                "$",
                "published hours times a price set here; its makers never stated a cost",
            ),
            cited(
                "DeepSeek-V3: final run",
                "2.788 million H800 hours, $5.6 million",
                "DeepSeek-AI 2024 (2412.19437)",
                "",
                "at $2 an hour, without research, failed runs and data",
            ),
            cited(
                "GPT-2's training text",
                "40 GB of web pages",
                "Radford et al. 2019",
                "",
                "tokens seen and cost were never published",
            ),
        ]

    def _own(self, context: StageContext, state: State) -> list[StageFigure]:
        if context.record is None:
            return []
        about = context.record.about
        curve = context.record.curve()
        tokens = int(curve[-1]["tokens"]) if curve else 0
        out = [
            recorded("Parameters", int(about["parameters"]), _SOURCE),
            recorded("Tokens of pre-training", tokens, "record: pre-training", "tokens"),
        ]
        if "hours" in about:
            hours, threads = float(about["hours"]), threads_of(about.get("hardware"))
            out.append(
                recorded("Hours, all stages", hours, _SOURCE, "hours", "on a machine shared with other work")
            )
            price = float(state["cpu"])
            cost = round(cpu_hours(hours, about.get("hardware")) * price, 4)
            caveat = f"{hours:g} h on {threads} threads at ${price:.2f} a CPU hour"
            out.append(recorded("Cost at the stated price", cost, _SOURCE, "$", caveat))
        if about.get("flops"):
            out.append(recorded("Computation, all stages", float(about["flops"]), _SOURCE, "FLOPs"))
            share = float(about["flops"]) / _FRONTIER_FLOPS
            out.append(
                recorded("Of the frontier's computation", share, _SOURCE, "", f"beside {_FRONTIER_FLOPS:.1e}")
            )
        if "hardware" in about:
            out.append(recorded("Hardware", in_words(about["hardware"]), _SOURCE))
        energy = about.get("energy_joules")
        if isinstance(energy, int | float):
            out.append(recorded("Energy", energy, _SOURCE, "J"))
        estimate = flops_of(float(about["parameters"]), tokens)
        out.append(
            live("6 N D of pre-training", estimate, "the record's parameters and tokens", "FLOPs", "estimate")
        )
        return out

    async def view(self, context: StageContext, state: State) -> list[Part]:
        """The steps side by side, shares of time, and the costs at the prices set."""
        state = {**self.first_state(context), **state}
        if context.record is None:
            text = {"markdown": "The build record of the bundled model is not installed."}
            return [Part(Element("text", text), "recorded"), self._scale(context, state)]
        rows = [[name, own, _FRONTIER_STEPS.get(name, "")] for name, own in self._steps(context)]
        table = {"columns": ["step", context.record.name, "Llama 3.1 405B (cited)"], "rows": rows, "keys": []}
        parts = [Part(Element("table", table, "From text to assistant"), "recorded", f"{_SOURCE}; {_FRONTIER}")]
        facts = [[one.name, _number(one.value), one.unit, one.caveat] for one in self._own(context, state)]
        table = {"columns": ["figure", "value", "unit", ""], "rows": facts, "keys": []}
        parts.append(Part(Element("table", table, "This model"), "recorded", _SOURCE))
        seconds = {name: float(context.record.about.get("seconds", {}).get(key, 0)) for key, name in _STEPS}
        if any(seconds.values()):
            bars = {"labels": list(seconds), "values": [value / 60 for value in seconds.values()]}
            parts.append(Part(Element("bars", bars, "Minutes a step"), "recorded", _SOURCE))
        return [*parts, self._scale(context, state)]

    def _steps(self, context: StageContext) -> list[tuple[str, str]]:
        record = context.need_record()
        about = record.about
        funnel = record.funnel()["stages"]
        rows = [
            ("Data", f"{funnel[0]['documents_in']:,} documents, {funnel[-1]['documents_out']:,} kept"),
            ("Tokens", f"{len(record.merges()):,} merges"),
        ]
        for key, name in _STEPS:
            seconds = float(about.get("seconds", {}).get(key, 0.0))
            steps = about.get("stages", {}).get(key, {}).get("steps")
            done = [f"{int(about['parameters']):,} parameters"] if key == "pretrain" else []
            if isinstance(steps, int):
                done.append(f"{steps:,} steps")
            if seconds:
                done.append(duration(seconds))
            rows.append((name, ", ".join(done) or "not in the record"))
        model = context.kernel.model
        if model is not None:
            rows.append(("The file loaded now", f"{model.file_bytes:,} bytes, {model.quantisation}"))
        return rows

    def _scale(self, context: StageContext, state: State) -> Part:
        """Costs at the prices that are set."""
        labels, values = [], []
        if context.record is not None and "hours" in context.record.about:
            about = context.record.about
            labels.append(f"{context.record.name}, ${float(state['cpu']):.2f} a CPU hour")
            values.append(cpu_hours(float(about["hours"]), about.get("hardware")) * float(state["cpu"]))
        labels.append(f"Llama 3.1 405B, ${float(state['gpu']):.2f} a GPU hour")
        values.append(_FRONTIER_GPU_HOURS * float(state["gpu"]))
        rows = [[label, f"${value:,.2f}"] for label, value in zip(labels, values, strict=True)]
        table = {"columns": ["what", "hours times price"], "rows": rows, "keys": []}
        return Part(
            Element("table", table, "Cost at the prices set above"), "cited", f"hours: record; {_FRONTIER}"
        )


def _number(value: float | int | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
