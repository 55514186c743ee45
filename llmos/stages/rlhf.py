"""RLHF: preference pairs, the real reward model, DPO's margins, reinforcement on checkable tasks."""

from __future__ import annotations

from collections.abc import Sequence

from llmos.formats import DEFAULT_SYSTEM_PROMPT, TURN_END, TURN_START
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
)
from llmos.stages.sft import score_parts


def as_conversation(question: str, reply: str) -> str:
    """A finished conversation as the reward model reads it, up to the end of the answer's turn."""
    system = f"{TURN_START}system\n{DEFAULT_SYSTEM_PROMPT}{TURN_END}\n"
    return f"{system}{TURN_START}user\n{question}{TURN_END}\n{TURN_START}assistant\n{reply}{TURN_END}"


def asked_of(prompt: str) -> str:
    """What the user said last in a rendered chat."""
    return prompt.rpartition(f"{TURN_START}user\n")[2].partition(TURN_END)[0]


async def reward(context: StageContext, question: str, reply: str) -> float:
    """The reward model's score of an answer, in standard deviations above the mean."""
    head = context.need_record().reward_head()
    kernel = await context.bundled("sft", embedding=True)
    state = (await kernel.embed([as_conversation(question, reply)], hidden=True))[0]
    return head.score(state)


def _votes(context: StageContext) -> list[Part]:
    """One draw against the vote of several, along reinforcement."""
    rows = [row for row in context.need_record().curve("rl") if "pass_1" in row and "majority" in row]
    if len(rows) < 2:
        return []
    x = [row["step"] for row in rows]
    group = int(rows[-1].get("group", 0))
    series = [
        {"name": "pass@1", "x": x, "y": [row["pass_1"] for row in rows]},
        {"name": f"majority@{group}" if group else "majority", "x": x, "y": [row["majority"] for row in rows]},
    ]
    plot = {"series": series, "x": "step", "y": "right"}
    title = "Sums right: one draw against the vote of several"
    return [Part(Element("plot", plot, title), "recorded", "record: rl")]


class RlhfStage(StageBase):
    """Learning from comparisons and from checkable results."""

    id = "rlhf"
    title = "RLHF"
    sentences = (
        "Judging is easier than writing: people, or rules, compare two answers, and a reward model learns to "
        "predict the better one.",
        "The model is then moved towards preferred answers (DPO) and rewarded where results can be checked.",
        "Score any answer with the real reward model; pairs, margins and curves are this model's record.",
    )
    question = "What is reinforcement learning from human feedback?"

    def controls(self, context: StageContext) -> Sequence[Control]:
        """A question and an answer to score; before and after."""
        return (
            Control("text", "text", "Question", "What is the capital of Veltria?", key="t"),
            Control("reply", "text", "Answer", "I do not know.", key="a"),
            Control("score", "button", "Score it", key="s"),
            Control("ask", "button", "Before and after", key="k"),
        )

    async def figures(self, context: StageContext) -> list[StageFigure]:
        """Accuracy of the reward model, margins, reward at the end."""
        out: list[StageFigure] = []
        if context.record is not None:
            record = context.record
            out.append(
                recorded("Reward model orders held-out pairs rightly", record.reward_head().accuracy,
                         "record: reward head")
            )  # fmt: skip
            pairs = record.pairs()
            if pairs:
                before = sum(one.before[0] > one.before[1] for one in pairs) / len(pairs)
                after = sum(one.after[0] > one.after[1] for one in pairs) / len(pairs)
                out.append(
                    recorded(
                        "Pairs whose better answer is likelier, before DPO", round(before, 3), "record: pairs"
                    )
                )
                out.append(recorded("The same, after DPO", round(after, 3), "record: pairs"))
            curve = record.curve("rl")
            if curve:
                out.append(
                    recorded(
                        "Mean reward at the first step of RL",
                        round(float(curve[0].get("reward", 0)), 3),
                        "record: RL",
                    )
                )
                out.append(
                    recorded(
                        "Mean reward at the last step of RL",
                        round(float(curve[-1].get("reward", 0)), 3),
                        "record: RL",
                    )
                )
        out.append(
            cited("Labellers of InstructGPT", "about 40 people", "Ouyang et al. 2022 (2203.02155)", "",
                  "RLHF does not make a model honest by itself")
        )  # fmt: skip
        return out

    async def view(self, context: StageContext, state: State) -> list[Part]:
        """Scores so far, pairs, curves, scores by stage."""
        parts: list[Part] = []
        if state.get("scored"):
            rows = state["scored"]
            bars = {"labels": [one[0][:40] for one in rows], "values": [one[1] for one in rows]}
            title = "Reward of your answers, in standard deviations above the mean"
            parts.append(Part(Element("bars", bars, title), "live", "reward head on the bundled SFT model"))
        for title, said in state.get("said", ()):
            parts.append(Part(Element("text", {"markdown": said or "(nothing)"}, title), "live", title))
        if context.record is None:
            return [
                *parts,
                Part(Element("text", {"markdown": "The build record is not installed."}), "recorded"),
            ]
        pairs = context.record.pairs()
        rows_ = [
            [one.kind, f"{one.before[0] - one.before[1]:+.1f}", f"{one.after[0] - one.after[1]:+.1f}",
             asked_of(one.prompt)[-70:], *(text.removesuffix(TURN_END) for text in (one.chosen, one.rejected))]
            for one in pairs
        ]  # fmt: skip
        columns = ["rule", "margin before", "after DPO", "asked", "preferred", "rejected"]
        table = {"columns": columns, "rows": rows_, "keys": []}
        parts.append(
            Part(
                Element("table", table, "Preference pairs and their margins (nats)"),
                "recorded",
                "record: pairs",
            )
        )
        for stage, keys in (("preferences", ("margin", "accuracy")), ("rl", ("reward", "length", "entropy"))):
            curve = context.record.curve(stage)
            for key in keys:
                points = [(row["step"], row[key]) for row in curve if key in row]
                if len(points) > 1:
                    series = [{"name": key, "x": [one[0] for one in points], "y": [one[1] for one in points]}]
                    plot = {"series": series, "x": "step", "y": key}
                    parts.append(Part(Element("plot", plot, f"{stage}: {key}"), "recorded", f"record: {stage}"))
        parts += _votes(context)
        parts += score_parts(context, ("sft", "preferences", "rl"))
        return parts

    async def act(self, context: StageContext, state: State, action: str) -> State:
        """Score an answer, or ask before and after."""
        question, reply = str(state.get("text", "")), str(state.get("reply", ""))
        if action == "score":
            value = await reward(context, question, reply)
            return {**state, "scored": [[reply, value], *state.get("scored", [])][:8]}
        if action == "ask":
            said = []
            for title, role in (("After SFT", "sft"), ("After DPO and RL", "chat")):
                kernel = await context.bundled(role)
                said.append([title, await answer(kernel, question, 64)])
            return {**state, "said": said}
        return state
