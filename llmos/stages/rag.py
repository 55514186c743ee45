"""RAG: passages ranked for a question, put into the window, and what that does to the odds."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llmos.formats import DEFAULT_SYSTEM_PROMPT, format_page, format_user_turn
from llmos.kernel.protocol import Chunk, GenerateRequest, TokenProbability
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
    live,
    visible,
)
from llmos.stages.ranking import ARES_BASE, Passage, bm25, cosine, flat, word_vectors
from llmos.types import Message, SamplingSettings, UserError

_QUESTION = "What is the capital of Ares Base?"
_TOP = 8
#: Tokens of the answer whose odds are compared.
_ALONG = 12
#: Passages of a user's folder at most, and characters of each.
_MOST_PASSAGES, _MOST_CHARACTERS = 200, 600


@dataclass(frozen=True, slots=True)
class Ranked:
    """Passages in their order for a question.

    Attributes:
        order: places of the passages, best first.
        scores: of every passage, in the passages' order.
        by: how they were ranked, in words.
        unit: of the scores.
        vectors: of every passage, and last of the question.
    """

    order: list[int]
    scores: list[float]
    by: str
    unit: str
    vectors: list[list[float]]


@dataclass(frozen=True, slots=True)
class Effect:
    """What the passages did to an answer.

    Attributes:
        tokens: the answer's first ones, as written with the passages in the window.
        pieces: their text.
        given: probability of each with the passages.
        bare: the same without them.
        window: the whole prompt with them.
        said: the answers with and without.
        prompts: token ids of both prompts.
    """

    tokens: list[int]
    pieces: list[bytes]
    given: list[float]
    bare: list[float]
    window: str
    said: tuple[str, str]
    prompts: tuple[list[int], list[int]]


def passages_of(folder: Path) -> list[Passage]:
    """Paragraphs of the text files of a folder.

    Raises:
        UserError: no folder, or no text in it.
    """
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}; name one with .txt or .md files.")
    found: list[Passage] = []
    for path in sorted(one for one in folder.rglob("*") if one.suffix.lower() in (".txt", ".md")):
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        for paragraph in text.split("\n\n"):
            if len(paragraph.strip()) >= 20:
                found.append(Passage(path.name, "", " ".join(paragraph.split())[:_MOST_CHARACTERS]))
            if len(found) >= _MOST_PASSAGES:
                return found
    if not found:
        raise UserError(f"There is no text in {folder}: .txt and .md files are read.")
    return found


async def ranked(context: StageContext, question: str, passages: Sequence[Passage]) -> Ranked:
    """Passages by cosine to the question where an embedder is there, else by words.

    Args:
        context: ``extras`` may hold ``embed`` and ``embedder``.
        question: what is asked.
        passages: what is searched.
    """
    texts = [f"{one.heading}. {one.text}" if one.heading else one.text for one in passages]
    name = str(context.extras["embedder"]()) if "embed" in context.extras else ""
    why = "no embedding model is set"
    if name:
        try:
            vectors = [list(one) for one in await context.extras["embed"]([*texts, question])]
        except UserError as error:
            why = str(error).rstrip(".")
        else:
            scores = [cosine(one, vectors[-1]) for one in vectors[:-1]]
            return Ranked(_best(scores), scores, f"cosine of vectors of {name}", "cosine", vectors)
    scores = bm25(question, texts)
    return Ranked(
        _best(scores), scores, f"words (BM25), since {why}", "score", word_vectors([*texts, question])
    )


def _best(scores: Sequence[float]) -> list[int]:
    return sorted(range(len(scores)), key=lambda place: -scores[place])


async def effect(
    context: StageContext, question: str, chosen: Sequence[Passage], alone: str | None = None
) -> Effect:
    """Answer with and without passages, and score the first answer's tokens under both prompts.

    Args:
        context: the loaded model.
        question: what is asked.
        chosen: passages that come into the window.
        alone: the answer without passages where it is known; None asks for it.
    """
    kernel = context.kernel
    pages = [format_page(number, one.source, one.heading, one.text) for number, one in enumerate(chosen, 1)]
    turn = format_user_turn(question, pages)
    if alone is None:
        alone = await answer(kernel, question, _ALONG)
    system = Message("system", DEFAULT_SYSTEM_PROMPT)
    full = await kernel.render_chat([system, Message("user", turn)])
    bare = await kernel.render_chat([system, Message("user", question)])
    request = GenerateRequest(
        full.tokens, sequence="stage", max_tokens=_ALONG, sampling=SamplingSettings(temperature=0.0),
        stop=full.stop, logprobs=1, keep=False,
    )  # fmt: skip
    text, tokens, given = "", list[int](), list[float]()
    async for event in kernel.generate(request):
        if isinstance(event, Chunk):
            text += event.text
            tokens += event.tokens
            given += [math.exp(value) for value in event.logprobs]
    scores = await kernel.score([*bare.tokens, *tokens])
    without = [math.exp(value) for value in scores[len(bare.tokens) :]]
    pieces = await kernel.pieces(tokens)
    said = (kernel.parse_answer(text).content, alone)
    return Effect(tokens, pieces, given, without, full.text, said, (list(full.tokens), list(bare.tokens)))


class RagStage(StageBase):
    """Retrieval, from the documents to the changed odds."""

    id = "rag"
    title = "RAG"
    sentences = (
        "What the weights do not hold can be put into the window: passages are ranked for the question, and "
        "the best come before it.",
        "With an embedding model, texts are vectors and near ones mean alike; without one, shared words count.",
        "Ares Base is made up, so the model can only know it from the passages: see what they do to the odds.",
    )
    question = "What is retrieval-augmented generation?"

    def controls(self, context: StageContext) -> Sequence[Control]:
        """A question, how many passages, the place in the answer, a folder of the user's."""
        return (
            Control("text", "text", "Question", _QUESTION, key="t"),
            Control("folder", "text", "Your folder", "", key="f"),
            Control("top", "slider", "Passages", 2, 1, 4, 1),
            Control("place", "slider", "Place in answer", 0, 0, _ALONG - 1, 1),
            Control("reset", "button", "Ares Base", key="0"),
        )

    async def figures(self, context: StageContext) -> list[StageFigure]:
        """How the first question's right passage ranks, and what the passages do to its answer."""
        name = context.model_name
        found = await ranked(context, _QUESTION, ARES_BASE)
        changed = await effect(context, _QUESTION, [ARES_BASE[place] for place in found.order[:2]])
        means = [sum(values) / max(1, len(values)) for values in (changed.given, changed.bare)]
        return [
            live("Ranked by", found.by, "this program"),
            live("Best passage", ARES_BASE[found.order[0]].source, found.by),
            live("Answer with passages", changed.said[0], name),
            live("Answer without", changed.said[1], name),
            live("Mean probability of that answer's tokens, with passages", round(means[0], 4), name),
            live("The same, without", round(means[1], 4), name),
            cited("Passages brought in, usually", "2 to 5", "Lewis et al. 2020 (2005.11401) used 5 and 10", "",
                  "depends on the window and on the passages"),
            cited("Width of a common embedding", 1536, "OpenAI, text-embedding-ada-002 (2022)", "numbers",
                  "embeddings of other models have from 384 to more than 4,000"),
        ]  # fmt: skip

    async def view(self, context: StageContext, state: State) -> list[Part]:
        """Ranking, map, window, answers, and the odds side by side."""
        state = {**self.first_state(context), **state}
        question, folder = str(state["text"]), str(state["folder"]).strip()
        loaded = context.kernel.model.path if context.kernel.model else ""
        passages: Sequence[Passage] = ARES_BASE
        if folder:
            path = Path(folder).expanduser()
            passages = await self.kept("passages", folder, lambda: asyncio.to_thread(passages_of, path))
        top = int(state["top"])
        by = str(context.extras["embedder"]()) if "embed" in context.extras else ""
        found = await self.kept("ranked", (question, folder, by), lambda: ranked(context, question, passages))
        chosen = [passages[place] for place in found.order[:top]]
        alone = await self.kept("alone", (loaded, question), lambda: answer(context.kernel, question, _ALONG))
        key = (loaded, question, folder, by, top)
        changed = await self.kept("effect", key, lambda: effect(context, question, chosen, alone))
        parts = self._ranking(passages, found, top)
        parts += self._along(context, changed)
        place = int(state["place"])
        parts += await self.kept("odds", (*key, place), lambda: self._odds(context, changed, place))
        window = {"markdown": f"```text\n{changed.window}\n```"}
        parts.append(
            Part(Element("text", window, "The window as the model reads it"), "live", context.model_name)
        )
        return parts

    def _ranking(self, passages: Sequence[Passage], found: Ranked, top: int) -> list[Part]:
        rows = [
            [number, f"{found.scores[place]:.3f}", passages[place].source, passages[place].text,
             "in the window" if number <= top else ""]
            for number, place in enumerate(found.order[:12], 1)
        ]  # fmt: skip
        columns = ["rank", found.unit, "file", "passage", ""]
        table = {"columns": columns, "rows": rows, "keys": []}
        parts = [Part(Element("table", table, "Passages by rank"), "live", found.by)]
        points = flat(found.vectors)
        names = [one.source for one in passages] if len(passages) <= 6 else ["passages"] * len(passages)
        series: dict[str, tuple[list[float], list[float]]] = {}
        for name, (x, y) in zip([*names, "the question"], points, strict=True):
            xs, ys = series.setdefault(name, ([], []))
            xs.append(x)
            ys.append(y)
        plot = {"series": [{"name": name, "x": x, "y": y, "dots": True} for name, (x, y) in series.items()],
                "x": "first component", "y": "second"}  # fmt: skip
        title = f"Map of {len(found.vectors[0])} numbers a text, on two principal components"
        return [*parts, Part(Element("plot", plot, title), "live", found.by)]

    def _along(self, context: StageContext, changed: Effect) -> list[Part]:
        rows = [
            [place, visible(piece), f"{given:.4f}", f"{bare:.4f}"]
            for place, (piece, given, bare) in enumerate(
                zip(changed.pieces, changed.given, changed.bare, strict=True)
            )
        ]
        columns = ["place", "token", "probability with passages", "without"]
        said = {"markdown": f"With passages: **{changed.said[0]}**\n\nWithout: **{changed.said[1]}**"}
        return [
            Part(Element("text", said, "What it answers"), "live", context.model_name),
            Part(
                Element("table", {"columns": columns, "rows": rows, "keys": []}, "The answer, token by token"),
                "live",
                context.model_name,
            ),
        ]

    async def _odds(self, context: StageContext, changed: Effect, place: int) -> list[Part]:
        """Likeliest tokens at a place of the answer, with passages and without."""
        place = min(place, max(0, len(changed.tokens) - 1))
        parts = []
        for prompt, words in zip(changed.prompts, ("with passages", "without"), strict=True):
            rows: list[TokenProbability] = await context.kernel.next_tokens(
                [*prompt, *changed.tokens[:place]], top=_TOP
            )
            bars = {"labels": [visible(one.text) for one in rows], "values": [one.probability for one in rows]}
            title = f"Odds at place {place} of the answer, {words}"
            parts.append(Part(Element("bars", bars, title), "live", context.model_name))
        return parts

    async def act(self, context: StageContext, state: State, action: str) -> State:
        """Back to the example."""
        return {**state, "text": _QUESTION, "folder": ""} if action == "reset" else state
