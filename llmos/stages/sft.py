"""SFT: labelled conversations, the flat token format with its loss mask, before and after."""

from __future__ import annotations

from collections.abc import Sequence

from llmos.plugins.contributions import Element
from llmos.stages.frame import (
    Control,
    Part,
    StageBase,
    StageContext,
    StageFigure,
    State,
    answer,
    cited,
    recorded,
    visible,
)

_RECORD = "record: SFT examples"
_INSTRUCT = "Ouyang et al. 2022 (2203.02155)"
_TALK = "A. Karpathy, Deep Dive into LLMs (2025)"


class SftStage(StageBase):
    """From text continuer to assistant."""

    id = "sft"
    title = "SFT"
    sentences = (
        "Supervised fine-tuning goes on with training on ideal conversations, so that the model imitates them.",
        "A conversation is one flat list of tokens: special tokens mark the turns, and only the "
        "assistant's count for the loss.",
        "Below are real training examples with their masks; ask the same question before and after.",
    )
    question = "What is supervised fine-tuning?"

    def controls(self, context: StageContext) -> Sequence[Control]:
        """Which example, and a question for before and after."""
        kinds = tuple(dict.fromkeys(one.kind for one in context.record.examples())) if context.record else ()
        return (
            Control("kind", "choice", "Example", kinds[-1] if kinds else "", choices=kinds),
            Control("text", "text", "Question", "Who are you?", key="t"),
            Control("ask", "button", "Before and after", key="k"),
        )

    async def figures(self, context: StageContext) -> list[StageFigure]:
        """Tokens, hours and scores before and after."""
        out: list[StageFigure] = []
        if context.record is not None:
            record = context.record
            curve = record.curve("sft")
            if curve:
                out.append(recorded("Tokens of SFT", int(curve[-1].get("tokens", 0)), "record: SFT", "tokens"))
                out.append(recorded("Loss at the end", round(curve[-1]["loss"], 3), "record: SFT", "nats"))
            seconds = record.about.get("seconds", {}).get("sft")
            if seconds:
                out.append(recorded("Hours of SFT", round(seconds / 3600, 2), "record: SFT", "h"))
            examples = record.examples()
            learned = sum(sum(one.learned) for one in examples)
            total = sum(len(one.tokens) for one in examples)
            out.append(
                recorded("Share of tokens that the loss counts", round(learned / max(1, total), 3), _RECORD)
            )
        return [
            *out,
            cited("Conversations of InstructGPT's SFT", "about 13,000 prompts", _INSTRUCT),
            cited("What labellers were asked for", "helpful, truthful, harmless", _INSTRUCT, "",
                  "the model imitates their answers; skills such as code come mostly from pre-training"),
            cited("Where the conversations come from today", "mostly other models, edited by people", _TALK, "",
                  "no laboratory publishes shares"),
            cited("Time of SFT beside pre-training", "hours beside months", _TALK, "",
                  "of frontier models; this model's own hours stand above"),
        ]  # fmt: skip

    async def view(self, context: StageContext, state: State) -> list[Part]:
        """Before and after, the example with its mask, the loss."""
        parts: list[Part] = []
        for title, said in state.get("said", ()):
            parts.append(Part(Element("text", {"markdown": said or "(nothing)"}, title), "live", title))
        if context.record is None:
            return [
                *parts,
                Part(Element("text", {"markdown": "The build record is not installed."}), "recorded"),
            ]
        examples = context.record.examples()
        example = next(
            (one for one in examples if one.kind == state.get("kind")), examples[0] if examples else None
        )
        if example is not None:
            cells = [
                {
                    "label": visible(token),
                    "weight": max(1, len(token)),
                    "colour": "warning" if token.startswith("<") and token.endswith(">") and len(token) > 4
                    else "success" if learned else "secondary",
                    "key": str(place),
                }
                for place, (token, learned) in enumerate(zip(example.tokens, example.learned, strict=True))
            ]  # fmt: skip
            title = (
                f"Training example ({example.kind}): {sum(example.learned)} of {len(example.tokens)} "
                "tokens count for the loss (green); special tokens are yellow"
            )
            parts.append(Part(Element("cells", {"cells": cells}, title), "recorded", _RECORD))
        curve = context.record.curve("sft")
        if curve:
            x, y = [row.get("tokens", row["step"]) for row in curve], [row["loss"] for row in curve]
            plot = {"series": [{"name": "loss", "x": x, "y": y}], "x": "tokens", "y": "nats"}
            parts.append(
                Part(Element("plot", plot, "Loss on the assistant's tokens"), "recorded", "record: SFT")
            )
        parts += score_parts(context, ("pretrain", "sft"))
        return parts

    async def act(self, context: StageContext, state: State, action: str) -> State:
        """Ask the base and the SFT model, both in the same quantisation."""
        if action != "ask":
            return state
        text = str(state.get("text", ""))
        said = []
        for title, role in (("Before: the base model, in the same chat form", "base"), ("After SFT", "sft")):
            kernel = await context.bundled(role)
            said.append([title, await answer(kernel, text, 64)])
        return {**state, "said": said}


def score_parts(context: StageContext, stages: Sequence[str]) -> list[Part]:
    """Held-out scores of stages with their intervals, as a table."""
    if context.record is None:
        return []
    scores = context.record.scores()
    shown = [name for name in stages if name in scores]
    abilities = list(dict.fromkeys(ability for name in shown for ability in scores[name]))
    rows = []
    for ability in abilities:
        measures = list(
            dict.fromkeys(
                measure
                for name in shown
                for measure, value in scores[name].get(ability, {}).items()
                if isinstance(value, dict) and "value" in value
            )
        )
        for measure in measures:
            cells = []
            for name in shown:
                value = scores[name].get(ability, {}).get(measure)
                cells.append(
                    f"{value['value']:.1%} ({value['low']:.1%} to {value['high']:.1%})"
                    if isinstance(value, dict) and "value" in value
                    else ""
                )
            rows.append([ability, measure, *cells])
    if not rows:
        return []
    table = {"columns": ["ability", "score", *shown], "rows": rows, "keys": []}
    return [Part(Element("table", table, "Held-out scores, 95 % intervals"), "recorded", "record: scores")]
