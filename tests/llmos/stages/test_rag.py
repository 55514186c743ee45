"""Ranking, map and odds of the RAG panel, worked out again by other means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from llmos.formats import DEFAULT_SYSTEM_PROMPT
from llmos.stages.frame import StageContext
from llmos.stages.rag import RagStage, effect, passages_of, ranked
from llmos.stages.ranking import ARES_BASE, bm25, cosine, flat, word_vectors
from llmos.types import Message, UserError

pytestmark = pytest.mark.asyncio(loop_scope="module")
QUESTIONS = {
    "What is the capital of Ares Base?": "map.md",
    "How many colonists are there?": "census.md",
    "When was the base founded?": "charter.md",
    "What do the greenhouses grow?": "supplies.md",
}


async def letters(texts: Sequence[str]) -> list[list[float]]:
    """Vectors by letters: not good ones, but real numbers whose cosines can be worked out."""
    return [[float(text.casefold().count(letter)) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts]


async def test_words_find_the_right_passage(context: StageContext) -> None:
    for question, source in QUESTIONS.items():
        found = await ranked(context, question, ARES_BASE)
        assert ARES_BASE[found.order[0]].source == source
        assert "words" in found.by and "no embedding model" in found.by
        assert sorted(found.order) == [0, 1, 2, 3]


async def test_with_an_embedder_cosine_ranks(context: StageContext) -> None:
    context.extras = {"embed": letters, "embedder": lambda: "letters"}
    question = "What is the capital of Ares Base?"
    found = await ranked(context, question, ARES_BASE)
    vectors = np.asarray(await letters([*[f"{one.heading}. {one.text}" for one in ARES_BASE], question]))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert found.scores == pytest.approx((unit[:-1] @ unit[-1]).tolist())
    assert found.order[0] == int(np.argmax(found.scores))
    assert "cosine" in found.by


async def test_vectors_of_passages_are_made_once(context: StageContext) -> None:
    asked: list[int] = []

    async def counted(texts: Sequence[str]) -> list[list[float]]:
        asked.append(len(texts))
        return await letters(texts)

    context.extras = {"embed": counted, "embedder": lambda: "letters"}
    panel = RagStage()
    first = await panel.view(context, {"text": "What is the capital of Ares Base?"})
    other = await panel.view(context, {"text": "What do the greenhouses grow?"})
    assert asked == [4, 1, 1]
    assert first[1].element.data != other[1].element.data  # the question has moved on the map
    assert "cosine" in first[0].source


async def test_a_panel_does_not_wait_for_the_embedder(context: StageContext) -> None:
    started: list[bool] = []

    async def prepare() -> bool:
        started.append(True)
        return len(started) == 1

    context.extras = {
        "embed": letters, "embedder": lambda: "letters" if started else "",
        "embedder_path": lambda: Path("letters.gguf"), "prepare_embedder": prepare,
    }  # fmt: skip
    panel = RagStage()
    before = await panel.view(context, {"text": "capital?"})
    assert "is being started" in before[0].source
    assert await panel.prepare(context) and not await panel.prepare(context)
    assert "cosine" in (await panel.view(context, {"text": "capital?"}))[0].source


async def test_an_embedder_that_fails_leaves_words_and_says_why(context: StageContext) -> None:
    async def broken(texts: Sequence[str]) -> list[list[float]]:
        raise UserError("The embedding model is gone.")

    context.extras = {"embed": broken, "embedder": lambda: "gone"}
    assert "The embedding model is gone" in (await ranked(context, "capital?", ARES_BASE)).by


async def test_odds_with_and_without_are_the_models(context: StageContext) -> None:
    question = "What is the capital of Ares Base?"
    changed = await effect(context, question, [ARES_BASE[2]])
    assert "New Houston" in changed.window and question in changed.window
    bare = await context.kernel.render_chat(
        [Message("system", DEFAULT_SYSTEM_PROMPT), Message("user", question)]
    )
    for place in range(min(3, len(changed.tokens))):
        rows = await context.kernel.next_tokens([*bare.tokens, *changed.tokens[:place]], top=100_000)
        there = {one.token: one.probability for one in rows}
        assert changed.bare[place] == pytest.approx(there.get(changed.tokens[place], 0.0), abs=0.02)
    full = changed.prompts[0]
    scores = (await context.kernel.score([*full, *changed.tokens]))[len(full) :]
    assert changed.given == pytest.approx([math.exp(value) for value in scores], abs=0.03)
    assert changed.given != changed.bare
    for prompt, odds in zip(changed.prompts, changed.odds, strict=True):
        assert len(odds) == len(changed.tokens)
        for place in range(min(2, len(odds))):
            rows = await context.kernel.next_tokens([*prompt, *changed.tokens[:place]], top=8)
            expected = [one.probability for one in rows]
            assert [one.probability for one in odds[place]] == pytest.approx(expected, abs=0.02)


async def test_the_panel_moves_with_question_place_and_passages(context: StageContext) -> None:
    panel = RagStage()
    state = panel.first_state(context)
    first = {part.element.title: part.element.data for part in await panel.view(context, state)}
    other = {
        part.element.title: part.element.data
        for part in await panel.view(context, {**state, "text": "How many colonists are there?"})
    }
    assert first["Passages by rank"] != other["Passages by rank"]
    assert first["The window as the model reads it"] != other["The window as the model reads it"]
    one = {part.element.title: part.element.data for part in await panel.view(context, {**state, "top": 1})}
    assert str(first["Passages by rank"]).count("in the window") == 2
    assert str(one["Passages by rank"]).count("in the window") == 1
    later = {part.element.title: part.element.data for part in await panel.view(context, {**state, "place": 2})}
    here, there = (
        next(data for title, data in one.items() if title.startswith("Odds")) for one in (first, later)
    )
    assert here["columns"] == ["token", "with passages", "without"] and here["rows"] != there["rows"]
    assert (await panel.act(context, {**state, "text": "x", "folder": "y"}, "reset"))["folder"] == ""


async def test_a_folder_of_the_users(context: StageContext, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(
        "The red bicycle stands in the cellar.\n\nshort\n\nThe cat sleeps on the roof at noon."
    )
    found = passages_of(tmp_path)
    assert [one.text[:11] for one in found] == ["The red bic", "The cat sle"]
    state = {"folder": str(tmp_path), "text": "Where does the cat sleep?"}
    rows = (await RagStage().view(context, state))[0].element.data["rows"]
    assert rows[0][3].startswith("The cat")
    with pytest.raises(UserError, match="no folder"):
        passages_of(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no text"):
        passages_of(tmp_path / "empty")


async def test_bm25_by_hand() -> None:
    scores = bm25("cat", ["cat dog", "dog dog"])
    assert scores[0] == pytest.approx(math.log(1 + 1.5 / 1.5) * 2.2 / (1 + 1.2))
    assert scores[1] == 0.0


async def test_the_map_keeps_distances_of_flat_things() -> None:
    points = [[0.0, 0.0, 5.0], [3.0, 0.0, 5.0], [0.0, 4.0, 5.0]]
    placed = flat(points)
    assert math.dist(placed[1], placed[2]) == pytest.approx(5.0)
    assert math.dist(placed[0], placed[1]) == pytest.approx(3.0)
    assert flat([[1.0], [2.0]])[0][1] == 0.0
    vectors = word_vectors(["a b", "a b", "c"])
    assert cosine(vectors[0], vectors[1]) == pytest.approx(1.0)
    assert cosine(vectors[0], vectors[2]) == 0.0
