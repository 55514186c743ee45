"""RAG: passages ranked for a question, put into the window, and what that does to the odds."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Collection, Hashable, Sequence
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
#: Answers that are kept, so that a slider moved back finds its own.
_KEPT = 16
#: Tokens of both distributions together that are shown.
_SHOWN = 12
#: Width of a bar of probability one, in cells of the terminal.
_BAR = 20
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
        said: the answer with them.
        prompts: token ids of both prompts.
        odds: likeliest tokens at every place of the answer, with the passages and without.
    """

    tokens: list[int]
    pieces: list[bytes]
    given: list[float]
    bare: list[float]
    window: str
    said: str
    prompts: tuple[list[int], list[int]]
    odds: tuple[list[Sequence[TokenProbability]], list[Sequence[TokenProbability]]]


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


def as_text(passage: Passage) -> str:
    """A passage as it is embedded and searched: its heading before it."""
    return f"{passage.heading}. {passage.text}" if passage.heading else passage.text


async def passage_vectors(context: StageContext, passages: Sequence[Passage]) -> list[list[float]]:
    """Vectors of passages by the session's embedder."""
    return [list(one) for one in await context.extras["embed"]([as_text(one) for one in passages])]


async def ranked(
    context: StageContext,
    question: str,
    passages: Sequence[Passage],
    known: Sequence[Sequence[float]] | None = None,
) -> Ranked:
    """Passages by cosine to the question where an embedder is there, else by words.

    Args:
        context: ``extras`` may hold ``embed`` and ``embedder``.
        question: what is asked.
        passages: what is searched.
        known: vectors of the passages where they were made before.
    """
    name = str(context.extras["embedder"]()) if "embed" in context.extras else ""
    why = "no embedding model is started"
    if name:
        try:
            vectors = [list(one) for one in known or await passage_vectors(context, passages)]
            vectors.append(list((await context.extras["embed"]([question]))[0]))
        except UserError as error:
            why = str(error).rstrip(".")
        else:
            scores = [cosine(one, vectors[-1]) for one in vectors[:-1]]
            return Ranked(_best(scores), scores, f"cosine of vectors of {name}", "cosine", vectors)
    elif "embed" in context.extras and context.extras.get("embedder_path", lambda: None)() is not None:
        why = "the embedding model is being started"
    texts = [as_text(one) for one in passages]
    scores = bm25(question, texts)
    return Ranked(
        _best(scores), scores, f"words (BM25), since {why}", "score", word_vectors([*texts, question])
    )


def _best(scores: Sequence[float]) -> list[int]:
    return sorted(range(len(scores)), key=lambda place: -scores[place])


async def effect(context: StageContext, question: str, chosen: Sequence[Passage]) -> Effect:
    """Answer with passages, and weigh that answer's tokens under the prompt with them and without.

    Args:
        context: the loaded model.
        question: what is asked.
        chosen: passages that come into the window.
    """
    kernel = context.kernel
    pages = [format_page(number, one.source, one.heading, one.text) for number, one in enumerate(chosen, 1)]
    turn = format_user_turn(question, pages)
    system = Message("system", DEFAULT_SYSTEM_PROMPT)
    full = await kernel.render_chat([system, Message("user", turn)])
    bare = await kernel.render_chat([system, Message("user", question)])
    request = GenerateRequest(
        full.tokens, sequence="stage-rag", max_tokens=_ALONG, sampling=SamplingSettings(temperature=0.0),
        stop=full.stop, logprobs=_TOP,
    )  # fmt: skip
    text, tokens, given = "", list[int](), list[float]()
    odds = list[Sequence[TokenProbability]]()
    async for event in kernel.generate(request):
        if isinstance(event, Chunk):
            text += event.text
            tokens += event.tokens
            given += [math.exp(value) for value in event.logprobs]
            odds += event.alternatives
    start = len(bare.tokens)
    places = (await kernel.trace([*bare.tokens, *tokens], start=start, top=_TOP))[: len(tokens)]
    without = [math.exp(one.logprob) for one in places]
    pieces = await kernel.pieces(tokens)
    said = kernel.parse_answer(text).content
    return Effect(
        tokens, pieces, given, without, full.text, said, (list(full.tokens), list(bare.tokens)),
        (odds, [one.alternatives for one in places]),
    )  # fmt: skip


def _bar(chance: float | None, others: Collection[float]) -> str:
    """A probability with its bar; a token that is not among the reported ones is below the least of them."""
    if chance is None:
        return f"< {max(0.0001, min(others, default=0.0)):.4f}"
    if chance < 0.0001:
        return "< 0.0001"
    return f"{chance:.4f} {'█' * round(_BAR * chance)}"


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

    def __init__(self) -> None:
        super().__init__()
        self._effects: dict[Hashable, Effect] = {}

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
            live("Answer with passages", changed.said, name),
            live("Answer without", await answer(context.kernel, _QUESTION, _ALONG), name),
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
        known = None
        if by:
            with contextlib.suppress(UserError):  # the ranking says why it goes by words then
                known = await self.kept("vectors", (folder, by), lambda: passage_vectors(context, passages))
        found = await self.kept(
            "ranked", (question, folder, by), lambda: ranked(context, question, passages, known)
        )
        chosen = [passages[place] for place in found.order[:top]]
        key = (loaded, question, folder, tuple(found.order[:top]))
        if len(self._effects) >= _KEPT and key not in self._effects:
            self._effects.clear()
        if key not in self._effects:
            self._effects[key] = await effect(context, question, chosen)
        changed = self._effects[key]
        parts = self._ranking(passages, found, top)
        parts += self._along(context, changed)
        parts += self._odds(context, changed, int(state["place"]))
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
        drawn = [
            {"name": name, "x": x, "y": y, "dots": True, "marker": "◆" if name == "the question" else "●"}
            for name, (x, y) in series.items()
        ]
        plot = {"series": drawn, "x": "first component", "y": "second"}
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
        said = {"markdown": changed.said or "(nothing)"}
        return [
            Part(Element("text", said, "It answers, with the passages"), "live", context.model_name),
            Part(
                Element("table", {"columns": columns, "rows": rows, "keys": []}, "The answer, token by token"),
                "live",
                context.model_name,
            ),
        ]

    def _odds(self, context: StageContext, changed: Effect, place: int) -> list[Part]:
        """Likeliest tokens at a place of the answer, side by side: with passages and without."""
        place = min(place, max(0, len(changed.tokens) - 1))
        shown = [rows[place] if place < len(rows) else () for rows in changed.odds]
        known = {one.token: one.text for rows in shown for one in rows}
        chances = [{one.token: one.probability for one in rows} for rows in shown]
        order = sorted(known, key=lambda token: -max(part.get(token, 0.0) for part in chances))
        rows = [
            [visible(known[token]), *(_bar(part.get(token), part.values()) for part in chances)]
            for token in order[:_SHOWN]
        ]
        columns = ["token", "with passages", "without"]
        title = f"Odds at place {place} of the answer: with passages and without"
        table = {"columns": columns, "rows": rows, "keys": []}
        return [Part(Element("table", table, title), "live", context.model_name)]

    async def later(self, context: StageContext, state: State) -> list[Part]:
        """The answer without passages, for comparison."""
        question = str({**self.first_state(context), **state}["text"])
        loaded = context.kernel.model.path if context.kernel.model else ""
        alone = await self.kept("alone", (loaded, question), lambda: answer(context.kernel, question, _ALONG))
        text = {"markdown": alone or "(nothing)"}
        return [Part(Element("text", text, "It answers, without passages"), "live", context.model_name)]

    async def prepare(self, context: StageContext) -> bool:
        """Start the embedder; the picture is drawn anew with its vectors."""
        if "prepare_embedder" not in context.extras:
            return False
        started: bool = await context.extras["prepare_embedder"]()
        return started

    async def act(self, context: StageContext, state: State, action: str) -> State:
        """Back to the example."""
        return {**state, "text": _QUESTION, "folder": ""} if action == "reset" else state
