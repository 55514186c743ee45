"""The shortlist draws what llama.cpp's chain draws from the whole vocabulary."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmos.bench.random_gguf import TINY, write_random_gguf
from llmos.kernel.engine import Engine, Floats
from llmos.kernel.protocol import KernelError
from llmos.kernel.sampler import Sampler
from llmos.kernel.shortlist import PENALTY_WINDOW, Adjustments, Candidates, Shortlist
from llmos.types import SamplingSettings

VOCABULARY = 5000


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    shape = replace(TINY, vocabulary=VOCABULARY)
    path = write_random_gguf(tmp_path_factory.mktemp("model") / "tiny.gguf", shape)
    one = Engine(Path(path), context=256, threads=1)
    yield one
    one.close()


def random_logits(seed: int, *, steps: int = 0) -> Floats:
    """Logits of a whole vocabulary; with ``steps`` few different values, so that many are equal."""
    values = np.random.default_rng(seed).normal(0, 4, VOCABULARY).astype(np.float32)
    return np.round(values * steps) / np.float32(steps) if steps else values


def found(logits: Floats, **chosen: Any) -> Any:
    """The list for these logits, None where there is none."""
    return Shortlist(SamplingSettings(**chosen), len(logits)).find(logits)


class Chain:
    """llama.cpp's own chain over the whole vocabulary, with its own bias and penalties."""

    def __init__(self, engine: Engine, chosen: SamplingSettings, bias: dict[int, float]) -> None:
        self.c = c = engine.handles[0]
        self.candidates = Candidates(c)
        self.handle = c.llama_sampler_chain_init(c.llama_sampler_chain_default_params())
        entries = (c.llama_logit_bias * max(1, len(bias)))(*bias.items())
        parts = [
            c.llama_sampler_init_logit_bias(VOCABULARY, len(bias), entries),
            c.llama_sampler_init_penalties(
                VOCABULARY,
                PENALTY_WINDOW,
                chosen.repeat_penalty,
                chosen.frequency_penalty,
                chosen.presence_penalty,
            ),
        ]
        if chosen.top_k > 0:
            parts.append(c.llama_sampler_init_top_k(chosen.top_k))
        parts += [
            c.llama_sampler_init_top_p(chosen.top_p, 1),
            c.llama_sampler_init_min_p(chosen.min_p, 1),
            c.llama_sampler_init_temp(chosen.temperature),
            c.llama_sampler_init_dist(chosen.seed),
        ]
        for part in parts:
            c.llama_sampler_chain_add(self.handle, part)

    def draw(self, logits: Floats) -> int:
        array = self.candidates.fill(np.arange(len(logits)), logits)
        self.c.llama_sampler_apply(self.handle, ctypes.byref(array))
        token = int(array.data[array.selected].id)
        self.c.llama_sampler_accept(self.handle, token)
        return token

    def close(self) -> None:
        self.c.llama_sampler_free(self.handle)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**31),
    top_k=st.sampled_from([0, 1, 5, 40, 300]),
    top_p=st.sampled_from([0.5, 0.95, 1.0]),
    min_p=st.sampled_from([0.0, 0.05, 0.5]),
    temperature=st.sampled_from([0.3, 1.0, 2.0]),
    penalties=st.sampled_from([(1.0, 0.0, 0.0), (1.3, 0.0, 0.0), (1.0, 0.5, 0.4), (1.1, -0.5, 0.2)]),
)
def test_draws_are_those_of_the_whole_chain(
    engine: Engine,
    seed: int,
    top_k: int,
    top_p: float,
    min_p: float,
    temperature: float,
    penalties: tuple[float, float, float],
) -> None:
    repeat, presence, frequency = penalties
    chosen = SamplingSettings(temperature, top_k, top_p, min_p, repeat, presence, frequency, seed % 1000)
    bias = {3: -1e9, 17: 4.0, VOCABULARY - 1: 2.5}
    engine.clear()
    engine.decode([(20, 0, 0, True), (20, 0, 1, True)])
    sampler = Sampler(engine, chosen, bias)
    chain = Chain(engine, chosen, bias)
    try:
        for step in range(6):
            row = step % 2  # the first row is drawn another way than those after it
            logits = random_logits(seed + step // 2)  # twice the same, so that penalties matter
            engine.logits(row)[:] = logits
            assert sampler.draw(row) == chain.draw(logits)
            assert (engine.logits(row) == logits).all()
    finally:
        sampler.close()
        chain.close()


@given(seed=st.integers(0, 2**31), steps=st.sampled_from([0, 1, 20]), top_k=st.integers(1, 256))
def test_the_largest_are_on_the_list(seed: int, steps: int, top_k: int) -> None:
    logits = random_logits(seed, steps=steps)
    ids = found(logits, top_k=top_k)
    assert ids is not None
    limit = np.sort(logits)[-top_k]
    assert len(ids) >= top_k and set(np.flatnonzero(logits >= limit)) <= set(ids)
    assert list(ids) == sorted(ids)


def test_the_list_is_short() -> None:
    kept = [found(random_logits(seed), top_k=40) for seed in range(20)]
    assert all(ids is not None and len(ids) < 200 for ids in kept)


def test_what_needs_the_whole_vocabulary_has_no_list() -> None:
    logits = random_logits(1)
    assert found(logits, top_k=0, top_p=0.9, min_p=0.1) is None
    assert found(logits, top_k=0, top_p=1.0, min_p=0.0) is None
    assert found(logits, top_k=1000) is None


def test_equal_logits_are_all_on_the_list_and_a_small_vocabulary_needs_none() -> None:
    assert found(np.zeros(300, np.float32), top_k=40) is None
    assert len(found(np.zeros(VOCABULARY, np.float32), top_k=40)) == VOCABULARY


def adjusted(adjust: Adjustments, token: int) -> float:
    logits = np.ones(10, np.float32)
    saved = adjust.put(logits)
    value = float(logits[token])
    adjust.undo(logits, saved)
    assert (logits == 1).all()
    return value


def test_penalties_forget_what_is_long_past() -> None:
    adjust = Adjustments(SamplingSettings(frequency_penalty=0.5), {2: 3.0})
    adjust.accept(7)
    assert (adjusted(adjust, 7), adjusted(adjust, 2), adjusted(adjust, 4)) == (0.5, 4.0, 1.0)
    for _ in range(PENALTY_WINDOW):
        adjust.accept(2)
    assert adjusted(adjust, 7) == 1.0
    assert adjusted(adjust, 2) == 4 - 0.5 * PENALTY_WINDOW


def test_a_bias_that_is_no_number(engine: Engine) -> None:
    with pytest.raises(KernelError, match="bias"):
        Sampler(engine, SamplingSettings(), {3: float("nan")})
    with pytest.raises(KernelError, match="bias"):
        Sampler(engine, SamplingSettings(), {3: float("inf")})
