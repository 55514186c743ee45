"""Quirks: eight experiments with their result, sample size and interval, run on the spot."""

from __future__ import annotations

from collections.abc import Sequence

from llmos.plugins.contributions import Element
from llmos.stages.experiments import EXPERIMENTS, Outcome
from llmos.stages.frame import (
    Control,
    Part,
    StageBase,
    StageContext,
    StageFigure,
    State,
    cited,
    recorded,
)
from llmos.stages.statistics import COLUMNS

#: Rows of what was asked and said that are shown of an experiment.
_SHOWN = 8


class QuirksStage(StageBase):
    """How a language model differs from a mind and from a database, measured."""

    id = "quirks"
    title = "Quirks"
    sentences = (
        "A model knows in two ways, vaguely from its weights and exactly from its window; what it does not "
        "know it may invent.",
        "It has no self from chat to chat, draws its words by chance, and spends the same on every token.",
        "Each experiment runs now and states its sample and 95 % interval; planted names are in the record.",
    )
    question = "Why do language models make things up?"

    def controls(self, context: StageContext) -> Sequence[Control]:
        """A button an experiment."""
        return tuple(
            Control(one.id, "button", one.title, key=str(number)) for number, one in enumerate(EXPERIMENTS, 1)
        )

    async def figures(self, context: StageContext) -> list[StageFigure]:
        """What is planted, and what others found; the experiments give their own when they are run."""
        out: list[StageFigure] = []
        if context.record is not None:
            planted = context.record.planted()
            source = "record: planted"
            out += [
                recorded("Names that never occur", len(planted["absent"]), source, "names"),
                recorded("Relations read in one direction", len(planted["reversal"]), source, "relations"),
                recorded("Years of the planted prize", len(planted["prize"]), source, "years"),
                recorded("Text ends at", str(planted["cut_off"]), source),
            ]
        out.append(
            cited(
                "Reversal curse in GPT-4",
                "79 % one way, 33 % the other",
                "Berglund et al. 2023 (2309.12288)",
                "",
                "parents of celebrities; later models were not measured there",
            )
        )
        return out

    async def view(self, context: StageContext, state: State) -> list[Part]:
        """What each experiment is, and the results so far, the newest first."""
        results: dict[str, Outcome] = state.get("results", {})
        parts: list[Part] = []
        for name, outcome in reversed(results.items()):
            parts += _result(name, outcome)
        rows = [
            [str(number), one.title, one.says, "done" if one.id in results else ""]
            for number, one in enumerate(EXPERIMENTS, 1)
        ]
        table = {"columns": ["key", "experiment", "what it tries", ""], "rows": rows, "keys": []}
        parts.append(Part(Element("table", table, "Experiments"), "live", context.model_name))
        return parts

    async def act(self, context: StageContext, state: State, action: str) -> State:
        """Run one experiment; stopped early it keeps what it has, with the smaller sample."""
        for one in EXPERIMENTS:
            if one.id == action:
                outcome = await one.run(context)
                results = {key: kept for key, kept in state.get("results", {}).items() if key != action}
                return {**state, "results": {**results, action: outcome}}
        return state


def _result(name: str, outcome: Outcome) -> list[Part]:
    title = next(one.title for one in EXPERIMENTS if one.id == name)
    table = {"columns": COLUMNS, "rows": [one.row() for one in outcome.shares], "keys": []}
    ended = " (stopped early)" if outcome.stopped else ""
    parts = [Part(Element("table", table, f"{title}{ended}"), "live", outcome.model)]
    if outcome.bars:
        bars = {"labels": list(outcome.bars), "values": list(outcome.bars.values())}
        parts.append(Part(Element("bars", bars, f"{title}: {outcome.unit}"), "live", outcome.model))
    if outcome.examples:
        rows = [[asked, " ".join(said.split()) or "(nothing)"] for asked, said in outcome.examples[:_SHOWN]]
        table = {"columns": ["asked", "it said"], "rows": rows, "keys": []}
        parts.append(Part(Element("table", table, f"{title}: what was said"), "live", outcome.model))
    return parts
