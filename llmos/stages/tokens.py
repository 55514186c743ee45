"""Tokens: what a text is to the model, and how byte pair encoding comes to it."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llmos.plugins.contributions import Element
from llmos.stages.frame import (
    Control,
    Mark,
    Part,
    StageBase,
    StageContext,
    StageFigure,
    State,
    answer,
    cited,
    live,
    visible,
)
from llmos.stages.tokenizers import cut_short, cuts_of_files, loaded_cut

_COLOURS = ("primary", "accent", "secondary", "success", "warning")
_SPELL = "How many letters r are in strawberry?"


@dataclass(frozen=True, slots=True)
class Merge:
    """One step of BPE on a text: the pair that was merged and how often it stood there."""

    left: bytes
    right: bytes
    count: int

    @property
    def token(self) -> bytes:
        """The new token's bytes."""
        return self.left + self.right


def bpe_steps(text: str, steps: int) -> tuple[list[bytes], list[Merge]]:
    """Byte pair encoding of a text from scratch (Sennrich et al. 2016, arXiv 1508.07909).

    Each step merges the most frequent neighbouring pair; of equals the one that comes first.

    Args:
        text: what to encode.
        steps: merges to make; it ends earlier when no pair occurs twice.

    Returns:
        the tokens after the last step, and the merges in order.
    """
    tokens = [bytes([byte]) for byte in text.encode("utf-8")]
    merges: list[Merge] = []
    for _ in range(steps):
        pairs = Counter(itertools.pairwise(tokens))
        if not pairs:
            break
        (left, right), count = max(pairs.items(), key=lambda item: item[1])
        if count < 2:
            break
        merges.append(Merge(left, right, count))
        merged: list[bytes] = []
        place = 0
        while place < len(tokens):
            if place + 1 < len(tokens) and (tokens[place], tokens[place + 1]) == (left, right):
                merged.append(left + right)
                place += 2
            else:
                merged.append(tokens[place])
                place += 1
        tokens = merged
    return tokens, merges


def coloured(pieces: Sequence[bytes], ids: Sequence[int] = ()) -> list[dict[str, Any]]:
    """Tokens as cells, neighbours in different colours.

    Args:
        pieces: bytes of each token.
        ids: their numbers, written behind them; empty for none.
    """
    labels = [visible(piece) for piece in pieces]
    if ids:
        labels = [f"{label} {number}" for label, number in zip(labels, ids, strict=True)]
    return [
        {"label": label, "weight": max(1, len(label)), "colour": _COLOURS[place % 5], "key": str(place)}
        for place, label in enumerate(labels)
    ]


class TokensStage(StageBase):
    """The loaded model's tokenizer, and BPE step by step on the user's text."""

    id = "tokens"
    title = "Tokens"
    sentences = (
        "A model reads no letters: a text is cut into tokens, and each token is a number.",
        "Byte pair encoding begins with the 256 bytes and merges the most frequent neighbours again and again; "
        "so words share roots, and typos, names and every language still have tokens.",
        "What is one token to the model is hard to spell, and numbers cut in the middle are hard to add.",
    )
    question = "What is a token?"

    def controls(self, context: StageContext) -> Sequence[Control]:
        """A text and the merges made on it."""
        return (
            Control("text", "text", "Text", "low lower lowest, new newer newest", key="t"),
            Control("next", "button", "Next merge", key="n"),
            Control("auto", "button", "Ten merges", key="r"),
            Control("reset", "button", "Reset", key="0"),
            Control("spell", "button", "Ask it to spell", key="s"),
            Control("add", "button", "Ask it to add", key="a"),
        )

    async def figures(self, context: StageContext) -> list[StageFigure]:
        """Sizes for the first text, and of vocabularies."""
        text = self.first_state(context)["text"]
        tokens = await context.kernel.tokenize(text)
        name = context.model_name
        model = context.kernel.model
        out = [
            live("Text", text, name),
            live("Tokens", len(tokens), name, "tokens"),
            live("Bytes a token", round(len(text.encode()) / max(1, len(tokens)), 3), name, "bytes"),
        ]
        if model is not None:
            out.append(live("Vocabulary", model.vocabulary, name, "tokens"))
        out.append(
            cited(
                "Vocabulary of cl100k_base",
                100_277,
                "OpenAI, tiktoken (2023)",
                "tokens",
                "the size of that encoding; never confirmed for one model",
            )
        )
        return out

    async def view(self, context: StageContext, state: State) -> list[Part]:
        """Coloured tokens with ids and bytes; the state of BPE; compression."""
        kernel, name = context.kernel, context.model_name
        text = str(state.get("text", ""))
        tokens = await kernel.tokenize(text)
        pieces = await kernel.pieces(tokens)
        rows = [[visible(piece), token, piece.hex(" ")] for token, piece in zip(tokens, pieces, strict=True)]
        size = len(text.encode())
        parts = [
            Part(
                Element("cells", {"cells": coloured(pieces)}, f"{len(tokens)} tokens of {size} bytes"),
                "live",
                name,
            ),
            Part(
                Element(
                    "table", {"columns": ["token", "id", "bytes"], "rows": rows, "keys": []}, "Ids and bytes"
                ),
                "live",
                name,
            ),
        ]
        made, merges = bpe_steps(text, int(state.get("merges", 0)))
        title = f"BPE from scratch on this text: {len(merges)} merges, {len(made)} tokens"
        parts.append(
            Part(Element("cells", {"cells": coloured(made)}, title), "live", "byte pair encoding of your text")
        )
        known = self._recorded(context)
        merge_rows = [
            [number, visible(one.left), visible(one.right), one.count, known.get(one.token, "")]
            for number, one in enumerate(merges, 1)
        ]
        columns = ["step", "left", "right", "count", "step in the bundled model's training"]
        parts.append(
            Part(
                Element("table", {"columns": columns, "rows": merge_rows[::-1], "keys": []}, "Merges"),
                "live",
                f"byte pair encoding of your text{'; last column: record: merges' if known else ''}",
            )
        )
        if context.record is not None:
            sizes = context.record.vocabulary_sizes()
            if sizes:
                series = [
                    {"name": "bytes a token", "x": [one[0] for one in sizes], "y": [one[1] for one in sizes]}
                ]
                plot = {"series": series, "x": "vocabulary", "y": "bytes a token"}
                parts.append(
                    Part(
                        Element("plot", plot, "Compression against vocabulary"), "recorded", "record: tokenizer"
                    )
                )
        for asked, said, right in state.get("tried", ()):
            text = f"**{asked}**\n\n{said or '(nothing)'}\n\nRight would be: {right}"
            parts.append(Part(Element("text", {"markdown": text}, "Why it is hard, tried"), "live", name))
        return parts

    async def later(self, context: StageContext, state: State) -> list[Part]:
        """Several tokenizers side by side: large vocabularies take a moment to load."""
        text = str(state.get("text", ""))
        cuts = [await loaded_cut(context, text), *await cuts_of_files(context, text)]
        if context.record is not None:
            cuts += cut_short(text, context.record.merges(), context.record.name)
        size = len(text.encode())
        rows = [
            [one.name, one.kind, f"{one.vocabulary:,}", len(one.ids), f"{size / max(1, len(one.ids)):.2f}"]
            if not one.problem
            else [one.name, one.problem, "", "", ""]
            for one in cuts
        ]
        columns = ["tokenizer", "kind", "vocabulary", "tokens of this text", "bytes a token"]
        table = {"columns": columns, "rows": rows, "keys": []}
        source = "each tokenizer, now"
        parts = [Part(Element("table", table, "Several tokenizers side by side"), "live", source)]
        for one in cuts:
            if not one.problem:
                title = f"{one.name}: {len(one.ids)} tokens, with their ids"
                cells = {"cells": coloured(one.pieces, one.ids)}
                source = "record: merges" if one.recorded else f"the tokenizer of {one.name}, now"
                mark: Mark = "recorded" if one.recorded else "live"
                parts.append(Part(Element("cells", cells, title), mark, source))
        return parts

    def _recorded(self, context: StageContext) -> dict[bytes, int]:
        if context.record is None:
            return {}
        return {left + right: step for step, (left, right, _) in enumerate(context.record.merges(), 1)}

    async def act(self, context: StageContext, state: State, action: str) -> State:
        """Merge, reset, or ask the model to spell."""
        made = int(state.get("merges", 0))
        if action == "next":
            return {**state, "merges": made + 1}
        if action == "auto":
            return {**state, "merges": made + 10}
        if action == "reset":
            return {**state, "merges": 0}
        if action == "spell":
            return await self._tried(context, state, _SPELL, "3")
        if action == "add":
            one, other = random.Random(f"add-{len(state.get('tried', ()))}").sample(range(1234, 9876), 2)
            return await self._tried(context, state, f"What is {one} + {other}?", f"{one + other}")
        return state

    async def _tried(self, context: StageContext, state: State, asked: str, right: str) -> State:
        """Ask the model, and show its question as the tokens that it sees."""
        pieces = await context.kernel.pieces(await context.kernel.tokenize(asked))
        seen = " | ".join(visible(one) for one in pieces)
        said = f"{await answer(context.kernel, asked, 48)}\n\nIt read: `{seen}`"
        return {**state, "tried": [(asked, said, right), *state.get("tried", ())][:4]}
