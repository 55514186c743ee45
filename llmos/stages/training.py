"""Training: the loaded model's architecture, its checkpoints asked live, attention, embeddings."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import partial
from pathlib import Path

from llmos.kernel.protocol import NotAvailable
from llmos.plugins.contributions import Element
from llmos.stages import architecture
from llmos.stages.frame import (
    Control,
    Part,
    StageBase,
    StageContext,
    StageFigure,
    State,
    cited,
    complete,
    live,
    recorded,
    visible,
)
from llmos.types import UserError

#: Tokens of a text whose attention is drawn: what fits a screen.
_HEAT = 16
_GLYPHS = " .:-=+*#%@"


def heat_rows(rows: Sequence[Sequence[float]]) -> list[str]:
    """Attention rows as text: each weight a character from blank (0) to @ (1)."""
    return ["".join(_GLYPHS[min(9, int(weight * 9.999))] * 2 for weight in row) for row in rows]


class TrainingStage(StageBase):
    """What the network is and how it became what it is."""

    id = "training"
    title = "Training"
    sentences = (
        "Training begins with random weights: take a window of text, predict each next token, compare, and "
        "nudge every weight a little.",
        "The loss is the mean surprise at the token that came; it falls from the logarithm of the vocabulary.",
        "Below is the loaded model itself: its blocks, its attention, and real checkpoints that answer now.",
    )
    question = "How is a language model trained?"

    def controls(self, context: StageContext) -> Sequence[Control]:
        """Prompt, checkpoint, layer and head, and a word to look up."""
        model = context.kernel.model
        layers = model.layers if model else 1
        steps = [str(step) for step, _ in self._checkpoints(context)]
        return (
            Control("text", "text", "Text", "The river bank was near the bank of the town", key="t"),
            Control("layer", "slider", "Layer", 0, 0, max(0, layers - 1), 1),
            Control("head", "slider", "Head", 0, 0, 31, 1),
            Control("word", "text", "Neighbours of", " water", key="w"),
            Control("prompt", "text", "Prompt for the checkpoint", "Once upon a time", key="p"),
            Control(
                "step", "choice", "Checkpoint", steps[-1] if steps else "", choices=tuple(steps), action="ask"
            ),
            Control("ask", "button", "Ask the checkpoint", key="k"),
        )

    def _checkpoints(self, context: StageContext) -> Sequence[tuple[int, Path]]:
        return context.record.checkpoints() if context.record else []

    async def figures(self, context: StageContext) -> list[StageFigure]:
        """Parameters of the loaded model, loss and hours of the bundled one, others' for scale."""
        name, out = context.model_name, []
        model = context.kernel.model
        if model is not None:
            out += [
                live("Parameters", model.parameters, name),
                live("Layers", model.layers, name),
                live("Width", model.embedding_width, name),
                live("Vocabulary", model.vocabulary, name, "tokens"),
                live(
                    "Loss of chance: logarithm of the vocabulary",
                    round(math.log(model.vocabulary), 3),
                    name,
                    "nats",
                ),
                live("File", model.file_bytes, name, "bytes"),
            ]
        if context.record is not None:
            curve = context.record.curve()
            if curve:
                source = "record: pre-training"
                out += [
                    recorded("Loss at the first logged step", round(curve[0]["loss"], 3), source, "nats"),
                    recorded("Loss at the last logged step", round(curve[-1]["loss"], 3), source, "nats"),
                    recorded("Tokens of pre-training", int(curve[-1]["tokens"]), source, "tokens"),
                ]
        out += [
            cited("GPT-2's parameters", "1.5 billion", "Radford et al. 2019", "", "some pages say 1.6 billion"),
            cited("GPT-2's text and cost then", "about 100 billion tokens and $40,000",
                  "A. Karpathy, Deep Dive into LLMs (2025)", "",
                  "never published; by most estimates it saw far fewer tokens"),
            cited("Loss of a GPT-2 reproduction", "from about 11 to about 2.4 nats",
                  "A. Karpathy, Deep Dive into LLMs (2025)", "",
                  "the logarithm of its vocabulary of 50,257 is 10.8: it begins with chance"),
            cited(
                "GPT-2's cost today", "about $100", "llm.c, A. Karpathy (2024)", "",
                "holds for reproductions of its smallest form on rented GPUs",
            ),
            cited(
                "Llama 3's largest", "405 billion parameters, 15.6 trillion tokens",
                "Llama Team 2024 (2407.21783)",
            ),
        ]  # fmt: skip
        return out

    async def view(self, context: StageContext, state: State) -> list[Part]:
        """The checkpoint's words, blocks, attention, layers, neighbours, curves."""
        parts: list[Part] = []
        if state.get("said"):
            step, said = state["said"]
            text = f"**{state.get('prompt', '')}**{said}"
            title = f"The checkpoint of step {step} goes on, now"
            parts.append(Part(Element("text", {"markdown": text}, title), "live", f"checkpoint of step {step}"))
        parts += await self._blocks(context)
        loaded = context.kernel.model.path if context.kernel.model else ""
        looked = (str(state.get("text", "")), state.get("layer"), state.get("head"))
        parts += await self._looked("attention", (loaded, *looked), self._attention, context, state)
        return [*parts, *self._curves(context)]

    async def later(self, context: StageContext, state: State) -> list[Part]:
        """One token in two contexts, and neighbours: further looks into the model."""
        loaded = context.kernel.model.path if context.kernel.model else ""
        text, word = str(state.get("text", "")), str(state.get("word", ""))
        return [
            *await self._looked("contexts", (loaded, text), self._contexts, context, state),
            *await self._looked("neighbours", (loaded, word), self._neighbours, context, state),
        ]

    async def _looked(
        self,
        name: str,
        key: Hashable,
        build: Callable[[StageContext, State], Awaitable[list[Part]]],
        context: StageContext,
        state: State,
    ) -> list[Part]:
        """A look into the model, or the sentence why this one shows nothing."""
        try:
            return await self.kept(name, key, partial(build, context, state))
        except NotAvailable as error:
            return [Part(Element("text", {"markdown": str(error)}), "live", context.model_name)]

    async def _blocks(self, context: StageContext) -> list[Part]:
        model = context.kernel.model
        if model is None or not Path(model.path).is_file():
            return []
        header = await self.kept(
            "header", model.path, lambda: asyncio.to_thread(architecture.header_of, model.path)
        )
        found = architecture.blocks(header)
        rows = [
            [one.name, "x".join(map(str, one.shape)), one.count, f"{one.parameters:,}", one.what]
            for one in found
        ]
        heads = header.of_architecture("attention.head_count", 0)
        lines = architecture.drawing(found, heads if isinstance(heads, int) else 0)
        drawn = {"markdown": "```\n" + "\n".join(lines) + "\n```"}
        columns = ["matrix", "shape", "layers", "parameters", "what it does"]
        table = Element("table", {"columns": columns, "rows": rows, "keys": []}, f"Blocks of {model.name}")
        title = f"The forward pass of {model.name}"
        return [Part(Element("text", drawn, title), "live", model.name), Part(table, "live", model.name)]

    def _curves(self, context: StageContext) -> list[Part]:
        if context.record is None:
            return []
        curve = context.record.curve()
        parts = []
        steps = [one["tokens"] for one in curve]
        for name, title, unit in (
            ("loss", "Loss", "nats"),
            ("lr", "Learning rate", ""),
            ("grad_norm", "Norm of the gradient", ""),
        ):
            values = [one.get(name) for one in curve]
            if curve and all(value is not None for value in values):
                plot = {"series": [{"name": name, "x": steps, "y": values}], "x": "tokens", "y": unit or name}
                parts.append(Part(Element("plot", plot, title), "recorded", "record: pre-training"))
        runs = context.record.scaling()
        if len(runs) >= 3:
            x, y = [float(one["flops"]) for one in runs], [float(one["loss"]) for one in runs]
            a, b = architecture.power_law(x, y)
            series = [
                {"name": "runs", "x": x, "y": y},
                {"name": f"{a:.3g} · C^{b:.3f}", "x": sorted(x), "y": [a * value**b for value in sorted(x)]},
            ]
            plot = {"series": series, "x": "FLOPs", "y": "loss"}
            parts.append(
                Part(
                    Element("plot", plot, "Scaling study with a fitted power law"),
                    "recorded",
                    "record: scaling",
                )
            )
        return parts

    async def _attention(self, context: StageContext, state: State) -> list[Part]:
        kernel = context.kernel
        tokens = (await kernel.tokenize(str(state.get("text", "")), bos=True))[:_HEAT]
        if not tokens or kernel.model is None:
            return []
        layer = min(int(state.get("layer", 0)), kernel.model.layers - 1)
        loaded = kernel.model.path
        heads = await self.kept(
            "heads", (loaded, tuple(tokens), layer), lambda: kernel.inspect(tokens, "attention", layer)
        )
        head = min(int(state.get("head", 0)), len(heads) - 1)
        names = [visible(piece) for piece in await kernel.pieces(tokens)]
        width = max(map(len, names))
        lines = [
            f"{name:>{width}} |{row}|" for name, row in zip(names, heat_rows(heads[head].tolist()), strict=True)
        ]
        title = f"Attention of layer {layer}, head {head} of {len(heads)}: a row looks at the columns before it"
        return [
            Part(
                Element("text", {"markdown": "```\n" + "\n".join(lines) + "\n```"}, title),
                "live",
                context.model_name,
            )
        ]

    async def _contexts(self, context: StageContext, state: State) -> list[Part]:
        kernel = context.kernel
        tokens = await kernel.tokenize(str(state.get("text", "")), bos=True)
        again = [place for place, token in enumerate(tokens) if tokens.count(token) > 1]
        if len(again) < 2:
            return []
        token = tokens[again[0]]
        places = [place for place in again if tokens[place] == token]
        states = await kernel.inspect(tokens, "layers")
        values = architecture.cosine_by_layer(states[:, places[0]], states[:, places[-1]])
        name = visible((await kernel.pieces([token]))[0])
        bars = {"labels": [f"layer {layer}" for layer in range(len(values))], "values": values}
        title = f"One token ({name}) at two places: cosine of its state, layer by layer"
        return [Part(Element("bars", bars, title), "live", context.model_name)]

    async def _neighbours(self, context: StageContext, state: State) -> list[Part]:
        kernel, model = context.kernel, context.kernel.model
        tokens = await kernel.tokenize(str(state.get("word", "")))
        if not tokens or model is None or not Path(model.path).is_file():
            return []
        near = await asyncio.to_thread(architecture.neighbours, Path(model.path), tokens[0])
        pieces = await kernel.pieces([token for token, _ in near])
        own = visible((await kernel.pieces(tokens[:1]))[0])
        bars = {"labels": [visible(piece) for piece in pieces], "values": [score for _, score in near]}
        return [Part(Element("bars", bars, f"Nearest embeddings to {own}, by cosine"), "live", model.name)]

    async def act(self, context: StageContext, state: State, action: str) -> State:
        """Ask a checkpoint."""
        if action != "ask":
            return state
        wanted = str(state.get("step", ""))
        found = {str(step): path for step, path in self._checkpoints(context)}
        if wanted not in found:
            raise UserError("There is no checkpoint to ask: the bundled model's checkpoints are not installed.")
        kernel = await context.other(found[wanted])
        return {**state, "said": [wanted, await complete(kernel, str(state.get("prompt", "")), 40)]}
