"""Vectors in place of tokens: a token's own vector is that token; what does not fit is refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader, dequantize

from llmos.kernel.client import KernelClient
from llmos.kernel.protocol import GenerateRequest, KernelError, VectorRequest
from llmos.types import SamplingSettings

pytestmark = pytest.mark.asyncio(loop_scope="module")
BEFORE, AFTER, TARGET = [2, 40, 41], [7, 99], [300, 12, 5]


@pytest.fixture(scope="module")
def table(tiny: Path) -> Any:
    """The token embeddings, read without the kernel."""
    tensor = next(one for one in GGUFReader(str(tiny)).tensors if one.name == "token_embd.weight")
    return np.asarray(dequantize(tensor.data, tensor.tensor_type), np.float32).reshape(-1, int(tensor.shape[0]))


async def test_the_vector_of_a_token_is_that_token(kernel: KernelClient, table: Any) -> None:
    pictures = [[60, 61, 62], [200, 201, 202]]
    scores = await kernel.vectors(
        VectorRequest(BEFORE, np.stack([table[one] for one in pictures]), AFTER, TARGET, 6)
    )
    for picture, found in zip(pictures, scores, strict=True):
        prompt = [*BEFORE, *picture, *AFTER]
        plain = (await kernel.score([*prompt, *TARGET], start=len(prompt)))[len(prompt) :]
        assert found.logprobs == pytest.approx(plain, abs=2e-2)
        request = GenerateRequest(prompt, "x", 6, SamplingSettings(temperature=0.0), keep=False, logprobs=1)
        written = [token async for event in kernel.generate(request) for token in getattr(event, "tokens", ())]
        assert list(found.written) == written[:6]
    assert scores[0].logprobs != scores[1].logprobs


async def test_the_cache_is_left_as_it_was(kernel: KernelClient, table: Any) -> None:
    request = VectorRequest(BEFORE, table[[[60, 61]]], AFTER, TARGET, 4)
    first = await kernel.vectors(request)
    before = (await kernel.stats()).cells_used
    assert await kernel.vectors(request) == first
    assert (await kernel.stats()).cells_used == before
    longer = await kernel.vectors(VectorRequest([*BEFORE, 9, 10], request.vectors, AFTER, TARGET))
    assert longer[0].logprobs != first[0].logprobs and longer[0].written == ()


async def test_what_does_not_fit_is_refused_and_the_kernel_lives(kernel: KernelClient, table: Any) -> None:
    good = table[[[60, 61]]]
    broken = good.copy()
    broken[0, 0, 0] = np.nan
    pid = kernel.pid
    for vectors, after, sentence in (
        (broken, AFTER, "no finite numbers"),
        (good[..., :-1], AFTER, "takes vectors of"),
        (good[0], AFTER, "takes vectors of"),
        (np.zeros((1, 65, good.shape[2])), AFTER, "vectors can be given"),
        (np.zeros((0, 2, good.shape[2])), AFTER, "vectors can be given"),
        (good, [], "between tokens"),
        (good, [10**6], "vocabulary"),
        (good, [7] * 400, "too many"),
    ):
        with pytest.raises(KernelError, match=sentence):
            await kernel.vectors(VectorRequest(BEFORE, vectors, after, TARGET))
    assert kernel.pid == pid and kernel.restarts == 0
    huge = await kernel.vectors(VectorRequest(BEFORE, good * 1e6, AFTER, TARGET))
    assert np.isfinite(huge[0].logprobs).all()


async def test_another_files_tokenizer_cuts_the_text(kernel: KernelClient, tiny: Path, tmp_path: Path) -> None:
    text = "low lower <|im_end|> é"
    found = await kernel.tokenize_with(tiny, text)
    assert list(found.tokens) == await kernel.tokenize(text)
    assert list(found.pieces) == await kernel.pieces(found.tokens)
    assert found.vocabulary == kernel.model.vocabulary if kernel.model else False
    copy = tmp_path / "other.gguf"
    for number in range(8):  # more than are kept: the oldest is freed
        copy.write_bytes(tiny.read_bytes())
        os.utime(copy, ns=(number, number))
        assert (await kernel.tokenize_with(copy, "ab")).tokens == (
            await kernel.tokenize_with(tiny, "ab")
        ).tokens
    copy.write_text("no model")
    for path in (copy, tmp_path / "none.gguf"):
        with pytest.raises(KernelError):
            await kernel.tokenize_with(path, text)
