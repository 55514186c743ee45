"""Vectors of texts from an encoder and from a decoder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.bench.random_gguf import write_random_bert
from llmos.kernel.client import KernelClient
from llmos.kernel.embedding import Embedder
from llmos.kernel.engine import Engine
from llmos.kernel.protocol import LoadRequest, NotAvailable


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_bert(tmp_path_factory.mktemp("models") / "bert.gguf")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def embedding(encoder: Path) -> AsyncIterator[KernelClient]:
    made = KernelClient()
    await made.load(LoadRequest(encoder, embedding=True))
    yield made
    await made.close()


@pytest.mark.asyncio(loop_scope="module")
async def test_texts_become_vectors_of_length_one(embedding: KernelClient) -> None:
    texts = ["one text", "another text", "", "x " * 3000, "one text", "Größe café", "\0\x1b"]
    vectors = np.array(await embedding.embed(texts))
    assert vectors.shape == (7, 64)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-4)
    assert vectors[0] == pytest.approx(vectors[4], abs=1e-6)
    assert not np.allclose(vectors[0], vectors[1], atol=1e-2)
    assert await embedding.embed([]) == []


@pytest.mark.asyncio(loop_scope="module")
async def test_accents_do_not_matter_to_word_pieces(embedding: KernelClient) -> None:
    plain, accented = np.array(await embedding.embed(["grosse cafe", "grosse café"]))
    assert plain == pytest.approx(accented, abs=1e-6)


@pytest.mark.asyncio(loop_scope="module")
async def test_hidden_states_are_raw(embedding: KernelClient) -> None:
    hidden = np.array(await embedding.embed(["one text", "other"], hidden=True))
    assert hidden.shape == (2, 64)
    assert np.linalg.norm(hidden[0]) > 1.5


@pytest.mark.asyncio(loop_scope="module")
async def test_an_embedding_kernel_does_nothing_else(embedding: KernelClient) -> None:
    for call in (embedding.next_tokens([2, 5]), embedding.score([2, 5])):
        with pytest.raises(NotAvailable, match="embedding only"):
            await call
    assert await embedding.tokenize("a")
    assert (await embedding.stats()).context == 512


def test_pooling_follows_the_model(encoder: Path) -> None:
    engine = Engine(encoder, context=512, threads=1, max_sequences=1, batch=512, embedding=True, pooling=0)
    try:
        first = Embedder(engine, 2).vector("some words")
        last = Embedder(engine, 3).vector("some words")
        mean = Embedder(engine, 1).vector("some words")
        states = engine.hidden_states()  # of the text embedded just now
        for found, expected in ((first, states[0]), (last, states[-1]), (mean, states.mean(axis=0))):
            assert found == pytest.approx(expected / np.linalg.norm(expected), abs=1e-5)
        with pytest.raises(NotAvailable, match="ranks"):
            Embedder(engine, 4)
    finally:
        engine.close()


@given(st.text())
@settings(max_examples=40)
def test_any_text_fits_the_window(embedder: Embedder, text: str) -> None:
    tokens = embedder.tokens(text * 40)
    assert 2 <= len(tokens) <= 512
    assert tokens[0] == 2 and tokens[-1] == 3


@pytest.fixture(scope="module")
def embedder(encoder: Path) -> Embedder:
    return Embedder(
        Engine(encoder, context=512, threads=1, max_sequences=1, batch=512, embedding=True, pooling=0)
    )
