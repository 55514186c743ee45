"""Preferences: what goes beside the pairs, on a model of a few thousand weights."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.helpers.require import require


@pytest.fixture(scope="module")
def made() -> tuple[Any, Any]:
    require("tokenizers")
    require("torch")
    from llmos.foundry.config import ModelConfig
    from llmos.foundry.model import Llama
    from llmos.foundry.plain_text import generated_document
    from llmos.foundry.render import Renderer
    from llmos.foundry.structured import initialise
    from llmos.foundry.tokenizer import train_tokenizer

    draw = random.Random(1)
    tokenizer = train_tokenizer([generated_document(draw) for _ in range(300)], 700)
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size, width=96, layers=2, heads=3, kv_heads=3, ffn=128, context=2048
    )
    model = Llama(config)
    initialise(model, 1)
    return Renderer(tokenizer), model


def test_the_mix_beside_a_stage_weighs_what_it_is_told(made: tuple[Any, Any]) -> None:
    from llmos.foundry.preferences import general_mix

    renderer, model = made
    sums = []
    for weight in (0.5, 1.0):
        parts = next(general_mix(renderer, weight, 2, "cpu", 3))
        assert len(parts) == 2
        sums.append(sum(float(p(model).detach()) for p in parts))
    # An untrained model is about as unsure as the vocabulary is large; the same conversations come for a seed.
    assert sums[1] == pytest.approx(2 * sums[0], rel=0.01) and sums[1] > 3


def test_without_weight_nothing_goes_beside_it(made: tuple[Any, Any]) -> None:
    from llmos.foundry.preferences import general_mix

    stream = general_mix(made[0], 0.0, 2, "cpu", 3)
    assert next(stream) == [] and next(stream) == []
