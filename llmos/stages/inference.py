"""Inference: the distribution over the next token, and what temperature and the cuts do to it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from llmos.kernel.protocol import Kernel, TokenProbability, TracedToken
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
    visible,
)
from llmos.types import SamplingSettings

_TOP = 12
#: Nats in a bit.
_BIT = math.log(2)
#: Positions whose whole distribution is computed for the entropy curve.
_CURVE = 24


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
        """Text, four sliders of the sampler, step, back, and a branch to another rank."""
        return (
            Control("text", "text", "Text", "The capital of France is", key="t"),
            Control("temperature", "slider", "Temperature", 1.0, 0.0, 2.0, 0.1),
            Control("top_k", "slider", "top-k (0: all)", 0, 0, 100, 5),
            Control("top_p", "slider", "top-p", 1.0, 0.05, 1.0, 0.05),
            Control("min_p", "slider", "min-p", 0.0, 0.0, 0.5, 0.01),
            Control("step", "button", "Sample next", key="n"),
            Control("run", "button", "Run 16", key="r"),
            Control("back", "button", "Take back", key="b"),
            Control("rank", "slider", "Branch: rank", 2, 1, _TOP, 1),
            Control("branch", "button", "Branch to that rank", key="2"),
        )

    async def figures(self, context: StageContext) -> list[StageFigure]:
        """Entropy and the likeliest token for the first text."""
        state = self.first_state(context)
        name, model = context.model_name, context.kernel.model
        tokens = await context.kernel.tokenize(str(state["text"]), bos=True)
        places = await context.kernel.trace(tokens or [0], top=1)
        following, before = places[-1], places[:-1]
        out = [live("Text", state["text"], name)]
        if model is not None:
            out += [
                live("Candidates at every place", model.vocabulary, name, "tokens"),
                live("Entropy if all were equally likely", round(math.log2(model.vocabulary), 3), name, "bits"),
            ]
        out += [
            live("Entropy of the next token", round(following.entropy / _BIT, 3), name, "bits"),
            live("Likeliest next token", visible(following.alternatives[0].text), name),
            live("Its probability", round(following.alternatives[0].probability, 4), name),
        ]
        if before:
            surprise = -sum(one.logprob for one in before) / len(before) / _BIT
            expected = sum(one.entropy for one in before) / len(before) / _BIT
            out += [
                live("Mean surprise along the text", round(surprise, 3), name, "bits"),
                live("Mean entropy along the text", round(expected, 3), name, "bits",
                     "what the surprise would be on average if the text were drawn from the model"),
            ]  # fmt: skip
        out.append(
            cited("Temperature of a usual chat", "0.7 to 1.0", "vendors' own defaults (2023 to 2025)", "",
                  "0 always takes the likeliest; above 1 rare tokens come")
        )  # fmt: skip
        return out

    async def view(self, context: StageContext, state: State) -> list[Part]:
        """Bars before and after the sampler, and surprise along the text."""
        kernel, name = context.kernel, context.model_name
        text = str(state.get("text", ""))
        sampling = sampling_of(state)
        key = (kernel.model.path if kernel.model else "", text)
        tokens = await self.kept("tokens", key, lambda: kernel.tokenize(text, bos=True))
        places = await self.kept("places", key, lambda: self._places(context, tokens))
        drawn = await kernel.next_tokens(tokens or [0], top=_TOP, sampling=sampling)
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
            for title, rows in (
                ("The model's own odds", places[-1].alternatives),
                ("What the sampler draws from", drawn),
            )
        ]
        return [*parts, *await self.kept("along", key, lambda: self._along(context, tokens, places))]

    async def _places(self, context: StageContext, tokens: Sequence[int]) -> list[TracedToken]:
        """The distributions at the text's last places, and after its end."""
        start = max(1, len(tokens) - _CURVE)
        return await context.kernel.trace(tokens or [0], start=start, top=_TOP)

    async def _along(
        self, context: StageContext, tokens: Sequence[int], places: Sequence[TracedToken]
    ) -> list[Part]:
        """Surprise at each token that stands there, beside the entropy of what could have stood there."""
        along = places[:-1]
        pieces = await context.kernel.pieces([one.token for one in along])
        rows = [
            [
                visible(piece),
                one.token,
                f"{math.exp(one.logprob):.4f}",
                f"{-one.logprob / _BIT:.2f}",
                f"{one.entropy / _BIT:.2f}",
                visible(one.alternatives[0].text),
            ]
            for piece, one in zip(pieces, along, strict=True)
        ]
        rows.append(["(next)", "", "", "", f"{places[-1].entropy / _BIT:.2f}",
                     visible(places[-1].alternatives[0].text)])  # fmt: skip
        columns = ["token", "id", "probability", "surprise (bits)", "entropy (bits)", "likeliest there"]
        table = {"columns": columns, "rows": rows, "keys": []}
        parts = [Part(Element("table", table, "Along the text"), "live", context.model_name)]
        if along:
            first = max(1, len(tokens) - len(along))
            x = list(range(first, first + len(places)))
            series = [
                {"name": "entropy: how open it was", "x": x, "y": [one.entropy / _BIT for one in places]},
                {"name": "surprise: what came", "x": x[:-1], "y": [-one.logprob / _BIT for one in along]},
            ]
            plot = {"series": series, "x": "place in the text (tokens)", "y": "bits"}
            title = "Entropy along the text, beside surprise"
            parts.append(Part(Element("plot", plot, title), "live", context.model_name))
        return parts

    async def act(self, context: StageContext, state: State, action: str) -> State:
        """Step, run, take back, take another branch."""
        kernel, text = context.kernel, str(state.get("text", ""))
        sampling = sampling_of(state)
        if action in ("step", "run"):
            from llmos.stages.frame import complete

            new = await complete(kernel, text, 1 if action == "step" else 16, sampling)
            return {**state, "text": text + new, "before": [*state.get("before", []), text]}
        if action == "branch":
            rank = int(state.get("rank", 2))
            rows = await distribution(kernel, text, None, rank)
            if len(rows) >= rank:
                taken = text + rows[rank - 1].text
                return {**state, "text": taken, "before": [*state.get("before", []), text]}
        if action == "back" and state.get("before"):
            return {**state, "text": state["before"][-1], "before": state["before"][:-1]}
        return state
