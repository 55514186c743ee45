"""The numbers on the live panels, recomputed by other means; and that they move with their input."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmos.stages.architecture import blocks, header_of, neighbours
from llmos.stages.frame import StageContext
from llmos.stages.inference import InferenceStage, distribution
from llmos.stages.registry import STAGES, stage
from llmos.stages.tokens import TokensStage
from llmos.stages.training import TrainingStage
from llmos.types import SamplingSettings, UserError

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def plain(model_file: Path) -> Iterator[Any]:
    """The same file through llama-cpp-python's own high-level class."""
    # The kernel's library registers a bare package when it came first in this process.
    ours = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "llama_cpp"}
    for name in ours:
        del sys.modules[name]
    import llama_cpp

    model = llama_cpp.Llama(
        str(model_file), n_ctx=512, logits_all=True, verbose=False, n_threads=1, flash_attn=True
    )
    yield model
    model.close()
    if ours:
        for name in [name for name in sys.modules if name.split(".")[0] == "llama_cpp"]:
            del sys.modules[name]
        sys.modules.update(ours)


def softmax(logits: Any) -> Any:
    exp = np.exp(logits - logits.max())
    return exp / exp.sum()


async def test_bars_are_the_softmax_of_real_logits(context: StageContext, plain: Any) -> None:
    text = "The capital of France is"
    tokens = await context.kernel.tokenize(text, bos=True)
    plain.reset()
    plain.eval(tokens)
    expected = softmax(np.asarray(plain.scores[len(tokens) - 1], dtype=np.float64))
    shown = await distribution(context.kernel, text, None, 20)
    for one in shown:
        assert one.probability == pytest.approx(expected[one.token], abs=2e-3)
    assert [one.probability for one in shown] == sorted((one.probability for one in shown), reverse=True)
    assert shown[0].token == int(expected.argmax())


async def test_temperature_moves_the_bars_as_it_should(context: StageContext) -> None:
    rows = await distribution(context.kernel, "Once upon a", None, 100_000)
    logs = np.log(np.asarray([max(one.probability, 1e-30) for one in rows]))
    for temperature in (0.5, 2.0):
        expected = softmax(logs / temperature)
        shown = await distribution(context.kernel, "Once upon a", SamplingSettings(temperature, 0, 1.0, 0.0), 5)
        assert shown[0].probability == pytest.approx(expected[0], rel=0.02)
    cut = await distribution(context.kernel, "Once upon a", SamplingSettings(1.0, 3, 1.0, 0.0), 50)
    assert len([one for one in cut if one.probability > 0]) == 3
    assert sum(one.probability for one in cut) == pytest.approx(1.0, abs=1e-3)


async def test_the_inference_panel_changes_with_its_text_and_sliders(context: StageContext) -> None:
    panel = InferenceStage()
    state = panel.first_state(context)
    first = await panel.view(context, state)
    other = await panel.view(context, {**state, "text": "My cat and"})
    hot = await panel.view(context, {**state, "temperature": 2.0})
    assert first[0].element.data != other[0].element.data
    assert first[0].element.data == hot[0].element.data
    assert first[1].element.data != hot[1].element.data
    assert {part.mark for part in first} == {"live"}


async def test_step_run_back_and_branch(context: StageContext) -> None:
    panel = InferenceStage()
    state = {**panel.first_state(context), "text": "The cat", "temperature": 0.0}
    stepped = await panel.act(context, state, "step")
    likeliest = await distribution(context.kernel, "The cat", None, 2)
    assert stepped["text"] in ("The cat" + likeliest[0].text, "The cat")
    branched = await panel.act(context, state, "branch")
    assert branched["text"] == "The cat" + likeliest[1].text
    assert (await panel.act(context, branched, "back"))["text"] == "The cat"
    ran = await panel.act(context, state, "run")
    assert ran["text"].startswith("The cat")


async def test_surprise_and_entropy_along_the_text(context: StageContext, plain: Any) -> None:
    text = "a b c d"
    tokens = await context.kernel.tokenize(text, bos=True)
    plain.reset()
    plain.eval(tokens)
    parts = await InferenceStage().view(context, {"text": text})
    rows = parts[2].element.data["rows"]
    entropies = []
    first = len(tokens) - (len(rows) - 1)
    for row, place in zip(rows, range(first, len(tokens) + 1), strict=True):
        chances = softmax(np.asarray(plain.scores[place - 1], dtype=np.float64))
        entropies.append(-float((chances[chances > 0] * np.log2(chances[chances > 0])).sum()))
        assert float(row[4]) == pytest.approx(entropies[-1], abs=0.1)
        if place < len(tokens):
            assert row[1] == tokens[place]
            assert float(row[3]) == pytest.approx(-math.log2(chances[tokens[place]]), abs=0.15)
    assert rows[-1][0] == "(next)"
    curves = {one["name"].split(":")[0]: one["y"] for one in parts[3].element.data["series"]}
    assert curves["entropy"] == pytest.approx(entropies, abs=0.1)
    assert curves["surprise"] == pytest.approx([float(row[3]) for row in rows[:-1]], abs=0.01)
    other = await InferenceStage().view(context, {"text": "a b c d e f"})
    assert other[3].element.data != parts[3].element.data


async def test_figures_of_inference_are_worked_out_again(context: StageContext, plain: Any) -> None:
    figures = {one.name: one.value for one in await InferenceStage().figures(context)}
    tokens = await context.kernel.tokenize(str(figures["Text"]), bos=True)
    plain.reset()
    plain.eval(tokens)
    chances = [softmax(np.asarray(plain.scores[place], dtype=np.float64)) for place in range(len(tokens))]
    entropy = [-float((one[one > 0] * np.log2(one[one > 0])).sum()) for one in chances]
    surprise = [-math.log2(chances[place - 1][tokens[place]]) for place in range(1, len(tokens))]
    assert figures["Entropy of the next token"] == pytest.approx(entropy[-1], abs=0.1)
    assert figures["Its probability"] == pytest.approx(chances[-1].max(), abs=5e-3)
    if surprise:
        assert figures["Mean surprise along the text"] == pytest.approx(sum(surprise) / len(surprise), abs=0.1)
        assert figures["Mean entropy along the text"] == pytest.approx(
            sum(entropy[:-1]) / len(surprise), abs=0.1
        )


async def test_a_branch_goes_to_the_chosen_rank(context: StageContext) -> None:
    likeliest = await distribution(context.kernel, "The cat", None, 5)
    for rank in (1, 4):
        state = {"text": "The cat", "rank": rank}
        branched = await InferenceStage().act(context, state, "branch")
        assert branched["text"] == "The cat" + likeliest[rank - 1].text


async def test_tokens_are_the_models_own(context: StageContext, plain: Any) -> None:
    text = "low lower <b>é</b>"
    state = {"text": text, "merges": 0}
    parts = await TokensStage().view(context, state)
    ids = [row[1] for row in parts[1].element.data["rows"]]
    assert ids == plain.tokenize(text.encode(), add_bos=False, special=False)
    assert b"".join(bytes.fromhex(row[2]) for row in parts[1].element.data["rows"]) == text.encode()
    other = await TokensStage().view(context, {"text": "xyz", "merges": 0})
    assert other[1].element.data != parts[1].element.data


async def test_merges_are_counted_and_reset(context: StageContext) -> None:
    panel = TokensStage()
    state = await panel.act(context, panel.first_state(context), "auto")
    state = await panel.act(context, state, "next")
    assert state["merges"] == 11
    rows = (await panel.view(context, state))[3].element.data["rows"]
    assert 1 <= len(rows) <= 11
    assert (await panel.act(context, state, "reset"))["merges"] == 0


async def test_attention_rows_sum_to_one_and_never_look_ahead(context: StageContext) -> None:
    tokens = await context.kernel.tokenize("The river bank was near the bank", bos=True)
    heads = await context.kernel.inspect(tokens, "attention", 0)
    assert heads.shape[1:] == (len(tokens), len(tokens))
    assert np.allclose(heads.sum(axis=2), 1.0, atol=1e-3)
    assert np.allclose(np.triu(heads[0], 1), 0.0, atol=1e-6)


async def test_the_training_panel_is_the_loaded_models_own(context: StageContext) -> None:
    model = context.kernel.model
    assert model is not None
    found = blocks(header_of(model.path))
    assert sum(one.parameters for one in found) == pytest.approx(model.parameters, rel=0.01)
    panel = TrainingStage()
    state = panel.first_state(context)
    parts = await panel.view(context, state)
    titles = [part.element.title for part in parts]
    assert any(title.startswith("Blocks of") for title in titles)
    other = await panel.view(context, {**state, "text": "one two one"})
    heat = next(part for part in parts if "Attention" in part.element.title)
    assert heat.element.data != next(part for part in other if "Attention" in part.element.title).element.data
    with pytest.raises(UserError, match="no checkpoint"):
        await panel.act(context, {**state, "step": "7"}, "ask")


async def test_neighbours_are_nearest_by_cosine(context: StageContext) -> None:
    model = context.kernel.model
    assert model is not None
    near = neighbours(Path(model.path), 40, 5)
    assert len(near) == 5 and 40 not in [token for token, _ in near]
    assert [score for _, score in near] == sorted((score for _, score in near), reverse=True)
    assert neighbours(Path(model.path), 10**9) == []


async def test_every_stage_marks_every_figure(context: StageContext) -> None:
    for entry in STAGES:
        figures = await stage(entry.id).figures(context)
        assert figures
        for figure in figures:
            assert figure.mark in ("live", "recorded", "cited")
            assert figure.source
        assert len(stage(entry.id).sentences) == 3
    with pytest.raises(UserError, match="There is no stage"):
        stage("nothing")


async def test_later_looks_move_with_word_and_text(context: StageContext) -> None:
    panel = TrainingStage()
    state = {"text": "so one two one", "word": " water"}
    first = {
        part.element.kind + part.element.title[:9]: part.element.data
        for part in await panel.later(context, state)
    }
    other = await panel.later(context, {"text": "so one two three one", "word": " the"})
    moved = {part.element.kind + part.element.title[:9]: part.element.data for part in other}
    assert set(first) == set(moved) == {"barsOne token", "barsNearest e"}
    assert all(first[name] != moved[name] for name in first)
    tokens = await context.kernel.tokenize(state["text"], bos=True)
    states = await context.kernel.inspect(tokens, "layers")
    places = [place for place, token in enumerate(tokens) if tokens.count(token) > 1]
    same = [place for place in places if tokens[place] == tokens[places[0]]]
    one, two = states[:, same[0]], states[:, same[-1]]
    cosines = (one * two).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(two, axis=1)
    assert first["barsOne token"]["values"] == pytest.approx(cosines.tolist(), abs=1e-3)
