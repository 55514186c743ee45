"""Inference: the distribution over the next token, and what temperature and the cuts do to it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from llmos.kernel.protocol import Kernel, TokenProbability
from llmos.plugins.contributions import Element
from llmos.stages.frame import Control, Part, StageBase, StageContext, StageFigure, State, live, visible
from llmos.types import SamplingSettings

_TOP = 12
#: Positions whose whole distribution is computed for the entropy curve.
_CURVE = 24


def entropy_bits(probabilities: Sequence[float]) -> float:
    """Shannon entropy of a distribution, in bits."""
    return -sum(p * math.log2(p) for p in probabilities if p > 0)


def sampling_of(state: State) -> SamplingSettings:
    """Sampler settings from the sliders."""
    return SamplingSettings(
        temperature=float(state.get("temperature", 1.0)),
        top_k=int(state.get("top_k", 0)),
        top_p=float(state.get("top_p", 1.0)),
        min_p=float(state.get("min_p", 0.0)),
    )


async def distribution(
    kernel: Kernel, text: str, sampling: SamplingSettings | None, top: int = _TOP
) -> list[TokenProbability]:
    """Likeliest next tokens after a text: plain softmax, or as the sampler leaves them."""
    tokens = await kernel.tokenize(text, bos=True)
    return await kernel.next_tokens(tokens or [0], top=top, sampling=sampling)


class InferenceStage(StageBase):
    """Next-token bars from real logits."""

    id = "inference"
    title = "Inference"
    sentences = (
        "A model gives every token of its vocabulary a probability of coming next; one is drawn, appended, "
        "and all begins anew.",
        "Temperature flattens or sharpens the distribution; top-k, top-p and min-p cut off its tail.",
        "The bars are the loaded model's real logits: type a text, move a slider, step, take back, or take "
        "another branch.",
    )
    question = "How does a language model choose the next token?"

    def controls(self, context: StageContext) -> Sequence[Control]:
        """Text, four sliders, step, back and branch."""
        return (
            Control("text", "text", "Text", "The capital of France is", key="t"),
            Control("temperature", "slider", "Temperature", 1.0, 0.0, 2.0, 0.1),
            Control("top_k", "slider", "top-k (0: all)", 0, 0, 100, 5),
            Control("top_p", "slider", "top-p", 1.0, 0.05, 1.0, 0.05),
            Control("min_p", "slider", "min-p", 0.0, 0.0, 0.5, 0.01),
            Control("step", "button", "Sample next", key="n"),
            Control("run", "button", "Run 16", key="r"),
            Control("back", "button", "Take back", key="b"),
            Control("branch", "button", "Take the second", key="2"),
        )

    async def figures(self, context: StageContext) -> list[StageFigure]:
        """Entropy and the likeliest token for the first text."""
        state = self.first_state(context)
        plain = await distribution(context.kernel, state["text"], None, 100_000)
        name = context.model_name
        return [
            live("Text", state["text"], name),
            live("Candidates", len(plain), name, "tokens"),
            live(
                "Entropy of the next token",
                round(entropy_bits([one.probability for one in plain]), 3),
                name,
                "bits",
            ),
            live("Likeliest next token", visible(plain[0].text), name),
            live("Its probability", round(plain[0].probability, 4), name),
        ]

    async def view(self, context: StageContext, state: State) -> list[Part]:
        """Bars before and after the sampler, and surprise along the text."""
        kernel, name = context.kernel, context.model_name
        text = str(state.get("text", ""))
        sampling = sampling_of(state)
        key = (kernel.model.path if kernel.model else "", text)
        plain = await self.kept("plain", key, lambda: distribution(kernel, text, None))
        drawn = await distribution(kernel, text, sampling)
        parts = [
            Part(
                Element(
                    "bars",
                    {
                        "labels": [visible(one.text) for one in rows],
                        "values": [one.probability for one in rows],
                    },
                    title,
                ),
                "live",
                name,
            )
            for title, rows in (("The model's own odds", plain), ("What the sampler draws from", drawn))
        ]
        parts.append(await self.kept("along", key, lambda: self._along(context, text)))
        return parts

    async def _along(self, context: StageContext, text: str) -> Part:
        kernel = context.kernel
        tokens = await kernel.tokenize(text, bos=True)
        scores = await kernel.score(tokens) if len(tokens) > 1 else [0.0] * len(tokens)
        pieces = await kernel.pieces(tokens)
        start = max(0, len(tokens) - _CURVE)
        rows = [
            [
                visible(pieces[place]),
                tokens[place],
                f"{math.exp(scores[place]):.4f}",
                f"{-scores[place] / math.log(2):.2f}",
            ]
            for place in range(max(1, start), len(tokens))
        ]
        columns = ["token", "id", "probability", "surprise (bits)"]
        return Part(
            Element("table", {"columns": columns, "rows": rows, "keys": []}, "Along the text"),
            "live",
            context.model_name,
        )

    async def act(self, context: StageContext, state: State, action: str) -> State:
        """Step, run, take back, take another branch."""
        kernel, text = context.kernel, str(state.get("text", ""))
        sampling = sampling_of(state)
        if action in ("step", "run"):
            from llmos.stages.frame import complete

            new = await complete(kernel, text, 1 if action == "step" else 16, sampling)
            return {**state, "text": text + new, "before": [*state.get("before", []), text]}
        if action == "branch":
            rows = await distribution(kernel, text, None, 2)
            if len(rows) > 1:
                return {**state, "text": text + rows[1].text, "before": [*state.get("before", []), text]}
        if action == "back" and state.get("before"):
            return {**state, "text": state["before"][-1], "before": state["before"][:-1]}
        return state
