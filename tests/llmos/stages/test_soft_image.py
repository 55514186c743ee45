"""The search for a picture: its numbers against the kernel's own on tokens, its counts counted again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader, dequantize

from llmos.formats import DEFAULT_SYSTEM_PROMPT
from llmos.kernel.protocol import NotAvailable
from llmos.stages import soft_image
from llmos.stages.architecture import token_vectors
from llmos.stages.frame import StageContext
from llmos.stages.security import SecurityStage
from llmos.types import Message

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_token_vectors_are_rows_of_the_file(model_file: Path) -> None:
    tensor = next(one for one in GGUFReader(str(model_file)).tensors if one.name == "token_embd.weight")
    whole = np.asarray(dequantize(tensor.data, tensor.tensor_type)).reshape(-1, int(tensor.shape[0]))
    assert np.array_equal(token_vectors(model_file, [300, 5, 5]), whole[[300, 5, 5]])


async def test_a_picture_stands_between_system_and_user(context: StageContext) -> None:
    before, after = await soft_image.around(context.kernel, "Where is it?")
    rendered = await context.kernel.render_chat(
        [Message("system", DEFAULT_SYSTEM_PROMPT), Message("user", "Where is it?")]
    )
    assert [*before, *after] == list(rendered.tokens)
    assert (await context.kernel.detokenize(after)).startswith("Where is it?")


async def test_the_log_probability_is_that_of_the_same_tokens(context: StageContext, model_file: Path) -> None:
    kernel, picture = context.kernel, [300, 301, 302]
    before, after = await soft_image.around(kernel, "Where is it?")
    line = await kernel.tokenize(soft_image.LINE)
    prompt = [*before, *picture, *after]
    plain = sum((await kernel.score([*prompt, *line]))[len(prompt) :])
    found, _ = await soft_image.said(kernel, "Where is it?", token_vectors(model_file, picture), line)
    assert found == pytest.approx(plain, abs=0.1)


async def test_the_search_makes_the_line_likelier_within_its_bounds(context: StageContext) -> None:
    told: list[float] = []
    context.progress = lambda done, total, text: told.append(done)
    found = await soft_image.search(context, steps=12, pairs=4)
    assert len(found.curve) == 13 and told == list(range(1, 13))
    assert found.curve[-1] > found.curve[0]
    norms = np.linalg.norm(found.vectors, axis=1)
    assert norms.max() <= found.length * (1 + 1e-6) and len(norms) == soft_image.PATCHES
    assert not np.allclose(found.vectors, found.start)
    again = await soft_image.search(context, steps=2, pairs=4)
    assert again.curve[:2] == pytest.approx(found.curve[:2], abs=0.5)


async def test_the_panel_counts_twenty_other_questions_and_draws_the_curve(
    context: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(range(10_000))

    async def said(*arguments: Any) -> tuple[float, str]:
        return -1.0, soft_image.LINE if next(answers) % 3 == 0 else "I am a model."

    monkeypatch.setattr(soft_image, "said", said)
    monkeypatch.setattr(soft_image, "STEPS", 2)
    monkeypatch.setattr("llmos.stages.security.soft_image", lambda one: soft_image.soft_image(one, 2))
    state = await SecurityStage().act(context, {}, "image")
    attack = state["results"]["image"]
    assert [share.of for share in attack.shares] == [6, 20, 20, 20]
    # Six answers for the search's own questions, then picture, random and first vectors in turn.
    answered = [number % 3 == 0 for number in range(66)]
    expected = [sum(answered[:6]), *(sum(answered[6 + kind :: 3]) for kind in range(3))]
    assert [share.right for share in attack.shares] == expected
    parts = await SecurityStage().view(context, state)
    curve = next(part for part in parts if part.element.kind == "plot").element.data["series"][0]["y"]
    assert curve == list(attack.curve) and len(curve) == 3


async def test_it_can_be_stopped_and_says_so(context: StageContext) -> None:
    context.cancelled = lambda: True
    attack = await soft_image.soft_image(context)
    assert attack.stopped and attack.shares[1].of == 0 and len(attack.curve) == 1


async def test_where_an_image_would_enter(context: StageContext, tmp_path: Path, model_file: Path) -> None:
    text = soft_image.entrance(context)
    assert "No loaded model takes images" in text
    assert f"{context.kernel.model.embedding_width} numbers" in text  # type: ignore[union-attr]
    copy = tmp_path / "seeing.gguf"
    copy.write_bytes(b"GGUF")
    (tmp_path / "seeing-mmproj-f16.gguf").write_bytes(b"GGUF")

    class Other:
        model = replace(context.kernel.model, path=str(copy))  # type: ignore[type-var]

    seeing = StageContext(Other())  # type: ignore[arg-type]
    assert "seeing-mmproj-f16.gguf" in soft_image.entrance(seeing)
    Other.model = replace(Other.model, path="http://there")
    with pytest.raises(NotAvailable, match="load a local model"):
        await soft_image.search(seeing)
