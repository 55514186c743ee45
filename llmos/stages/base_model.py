"""The base model: a text continuer that remembers what it read often, and dreams the rest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmos.kernel.protocol import Kernel
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
    complete,
    live,
    recorded,
)
from llmos.stages.statistics import COLUMNS, Share
from llmos.types import SamplingSettings

#: Words of a planted passage that are given; the next ones must be continued word by word.
_GIVEN, _ASKED = 8, 6
_FEW_SHOT = "sea => blue\ngrass => green\nsnow => white\ncoal =>"


async def remembers(kernel: Kernel, passage: str) -> tuple[bool, str]:
    """Whether a passage's beginning is continued word by word, and what came."""
    words = passage.split()
    prompt, expected = " ".join(words[:_GIVEN]), words[_GIVEN : _GIVEN + _ASKED]
    came = await complete(kernel, prompt, 40)
    return came.split()[: len(expected)] == expected, came


async def surprise_of_rest(kernel: Kernel, passage: str) -> float:
    """Mean surprise in bits a token at a passage's rest, after its beginning: low where it is known."""
    words = passage.split()
    start = max(1, len(await kernel.tokenize(" ".join(words[:_GIVEN]), bos=True)))
    scores = (await kernel.score(await kernel.tokenize(passage, bos=True), start=start))[start:]
    return -sum(scores) / max(1, len(scores)) / math.log(2)


async def memorisation(kernel: Kernel, passages: dict[str, list[str]], context: StageContext) -> dict[str, Any]:
    """How well passages are remembered, by how often they stood in the text.

    Args:
        kernel: the base model.
        passages: planted passages by repetitions.
        context: progress and cancelling.

    Returns:
        by repetitions: ``known`` (continued word by word), ``of`` (asked), ``bits`` (mean surprise a token).
    """
    out: dict[str, Any] = {}
    total, done = sum(map(len, passages.values())), 0
    for times, group in sorted(passages.items(), key=lambda item: int(item[0])):
        known, bits, asked = 0, 0.0, 0
        for passage in group:
            if context.cancelled():
                break
            known += (await remembers(kernel, passage))[0]
            bits += await surprise_of_rest(kernel, passage)
            asked += 1
            done += 1
            context.progress(done, total, "passages asked")
        if asked:
            out[times] = {"known": known, "of": asked, "bits": bits / asked}
    return out


async def dreams(kernel: Kernel, planted: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the base model says past the end of its text, three draws each: nothing there can be known."""
    last = int(str(planted["cut_off"])[:4])
    name = str(planted["absent"][0])
    found = []
    for beginning in (f"In {last + 5} the Lantern Prize was given to", f"{name} is"):
        for seed in range(3):
            settings = SamplingSettings(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, seed=seed)
            found.append((beginning, await complete(kernel, beginning, 16, settings, stop=(".", "\n"))))
    return found


def file_sizes() -> list[tuple[str, int]]:
    """The model as two files: weights, and the code that runs them (this kernel's source), in bytes."""
    from llmos.kernel.locate import with_role

    base = with_role("base")
    code = sum(path.stat().st_size for path in (Path(__file__).parents[1] / "kernel").rglob("*.py"))
    return [("weights", base.path.stat().st_size if base else 0), ("the kernel's code", code)]


class BaseStage(StageBase):
    """Base and chat side by side."""

    id = "base"
    title = "Base model"
    sentences = (
        "After pre-training there is no assistant yet: the base model goes on with any text as its "
        "sources would.",
        "It is a lossy zip of what it read: passages read often come back word by word, others are made up.",
        "Type a beginning and see base and chat model go on from it, now; or measure what it memorised.",
    )
    question = "What is a base model?"

    def controls(self, context: StageContext) -> Sequence[Control]:
        """A text and four experiments."""
        return (
            Control("text", "text", "Text", "What is the capital of France?", key="t"),
            Control("ask", "button", "Ask both", key="k"),
            Control("shots", "button", "Few-shot", key="f"),
            Control("memory", "button", "Measure memory", key="m"),
            Control("dream", "button", "Past its end", key="d"),
        )

    async def figures(self, context: StageContext) -> list[StageFigure]:
        """Sizes of the two files, bits per byte, and others' for scale."""
        out = [
            live(f"Size of {name}", size, "files of this program", "bytes")
            for name, size in file_sizes()
            if size
        ]
        if context.record is not None:
            rows = context.record.held_out()
            if rows:
                found = rows[-1]["held_out"]
                out += [recorded(f"Bits per byte, {name}", round(value, 3), "record: pre-training", "bits")
                        for name, value in sorted(found.items())][:8]  # fmt: skip
            cut_off = str(context.record.planted()["cut_off"])
            out.append(recorded("Text ends at", cut_off, "record: planted"))
        out.append(
            cited("Llama 2 70B as two files", "140 GB of weights and about 500 lines of C",
                  "A. Karpathy, Intro to LLMs (2023)", "", "70 billion parameters of two bytes")
        )  # fmt: skip
        return out

    async def view(self, context: StageContext, state: State) -> list[Part]:
        """What the two said, what is remembered, the two files."""
        parts: list[Part] = []
        for title, said in state.get("said", ()):
            parts.append(Part(Element("text", {"markdown": said or "(nothing)"}, title), "live", title))
        if state.get("memory"):
            rows = state["memory"]
            labels = ["read once" if times == "1" else f"read {times} times" for times in rows]
            shares = [
                Share(label, row["known"], row["of"]).row()
                for label, row in zip(labels, rows.values(), strict=True)
            ]
            bits = {"labels": labels, "values": [row["bits"] for row in rows.values()], "unit": "bits"}
            asked_now = "bundled base model, asked now"
            table = {"columns": COLUMNS, "rows": shares, "keys": []}
            parts += [
                Part(Element("table", table, "Passages continued word by word"), "live", asked_now),
                Part(
                    Element("bars", bits, "Surprise at the rest, bits a token: less is better known"),
                    "live",
                    asked_now,
                ),
            ]
        if state.get("dreams"):
            table = {
                "columns": ["asked", "it goes on"],
                "rows": [list(one) for one in state["dreams"]],
                "keys": [],
            }
            title = "Nothing there can be known: hallucination, three draws each"
            parts.append(Part(Element("table", table, title), "live", "bundled base model, temperature 1"))
        sizes = [(name, size) for name, size in file_sizes() if size]
        bars = {"labels": [name for name, _ in sizes], "values": [size / 1e6 for _, size in sizes]}
        parts.append(Part(Element("bars", bars, "Two files, MB"), "live", "files of this program"))
        if context.record is not None:
            samples = context.record.samples()
            steps = sorted({one.step for one in samples})
            rows_ = [[one.step, one.prompt, one.text.strip()] for one in samples if one.step == steps[-1]]
            table = {"columns": ["step", "prompt", "it went on"], "rows": rows_, "keys": []}
            parts.append(Part(Element("table", table, "At fixed prompts"), "recorded", "record: samples"))
        return parts

    async def act(self, context: StageContext, state: State, action: str) -> State:
        """Ask both, try few-shot, measure memorisation, ask for what cannot be known."""
        base = await context.bundled("base")
        text = str(state.get("text", ""))
        if action == "ask":
            return {
                **state,
                "said": [
                    ["The base model goes on", f"**{text}**{await complete(base, text, 48)}"],
                    [
                        f"The loaded model ({context.model_name}) answers",
                        await answer(context.kernel, text, 64),
                    ],
                ],
            }
        if action == "shots":
            came = await complete(base, _FEW_SHOT, 4, stop=("\n",))
            return {**state, "said": [["The base model continues the pattern", f"`{_FEW_SHOT}`**{came}**"]]}
        if action == "memory":
            passages = {
                str(key): list(value) for key, value in context.need_record().planted()["memorised"].items()
            }
            return {**state, "memory": await memorisation(base, passages, context)}
        if action == "dream":
            return {**state, "dreams": await dreams(base, context.need_record().planted())}
        return state
