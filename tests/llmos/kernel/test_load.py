"""Files that are no usable model, and memory that is too small: one sentence, and the client goes on."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from gguf import GGUFWriter

from llmos.bench.random_gguf import TINY, Shape, vocabulary, write_random_bert, write_random_gguf
from llmos.kernel.client import KernelClient
from llmos.kernel.protocol import GenerateRequest, KernelError, KvType, LoadRequest
from tests.llmos.kernel.helpers import GREEDY, answer

pytestmark = pytest.mark.asyncio(loop_scope="module")

KV_TYPES: tuple[KvType, ...] = ("auto", "q8_0/f16", "f16", "q8_0")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tiny: Path) -> AsyncIterator[KernelClient]:
    """A client with a good model; every refusal must leave it working."""
    made = KernelClient()
    await made.load(LoadRequest(tiny, threads=1))
    yield made
    await made.close()


async def refusal(client: KernelClient, request: LoadRequest) -> str:
    pid, model = client.pid, client.model
    with pytest.raises(KernelError) as caught:
        await client.load(request)
    sentence = str(caught.value)
    assert "Traceback" not in sentence and "\n" not in sentence
    assert client.model is model
    assert client.pid == pid, "the worker died of it"
    made = await answer(client, GenerateRequest(list(range(60, 70)), max_tokens=2, sampling=GREEDY))
    assert made.end.prompt_tokens == 10
    return sentence


async def test_missing(client: KernelClient, tmp_path: Path) -> None:
    assert "There is no model file at" in await refusal(client, LoadRequest(tmp_path / "none.gguf"))


async def test_a_folder(client: KernelClient, tmp_path: Path) -> None:
    assert "is a folder" in await refusal(client, LoadRequest(tmp_path))


async def test_empty(client: KernelClient, tmp_path: Path) -> None:
    file = tmp_path / "empty.gguf"
    file.touch()
    assert "is empty" in await refusal(client, LoadRequest(file))


async def test_random_bytes(client: KernelClient, tmp_path: Path) -> None:
    file = tmp_path / "random.gguf"
    file.write_bytes(random.Random(1).randbytes(100_000))
    assert "is not a GGUF model" in await refusal(client, LoadRequest(file))


async def test_random_bytes_after_the_magic_word(client: KernelClient, tmp_path: Path) -> None:
    file = tmp_path / "random.gguf"
    file.write_bytes(b"GGUF\x03\0\0\0" + random.Random(2).randbytes(100_000))
    assert "damaged or cut off" in await refusal(client, LoadRequest(file))


@pytest.mark.parametrize("share", [0.001, 0.02, 0.3, 0.7, 0.999])
async def test_cut_off_anywhere(client: KernelClient, tiny: Path, tmp_path: Path, share: float) -> None:
    file = tmp_path / "cut.gguf"
    data = tiny.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    assert "cut off" in await refusal(client, LoadRequest(file))


async def test_vocabulary_only(client: KernelClient, tmp_path: Path) -> None:
    file = tmp_path / "vocabulary.gguf"
    tokens, types, merges = vocabulary(400)
    writer = GGUFWriter(str(file), "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert "vocabulary only" in await refusal(client, LoadRequest(file))


async def test_an_unknown_architecture(tiny: Path, tmp_path: Path, client: KernelClient) -> None:
    file = tmp_path / "odd.gguf"
    file.write_bytes(tiny.read_bytes().replace(b"llama", b"lxama"))
    assert "not supported" in await refusal(client, LoadRequest(file))


async def test_a_model_that_cannot_chat(client: KernelClient, tmp_path: Path) -> None:
    encoder = write_random_bert(tmp_path / "encoder.gguf")
    assert "no model to chat with" in await refusal(client, LoadRequest(encoder))


async def test_a_context_larger_than_memory(client: KernelClient, tmp_path: Path) -> None:
    shape = Shape("wide", 512, 64, 4, 4, 64, 400)
    file = write_random_gguf(tmp_path / "wide.gguf", shape, quantisation="Q4_0")
    sentence = await refusal(client, LoadRequest(file, context=2_000_000))
    assert "A context of 2,000,000 tokens does not fit" in sentence
    assert "the largest that fits is" in sentence
    assert "GB" in sentence


async def test_a_model_larger_than_memory(client: KernelClient, tmp_path: Path) -> None:
    # A sparse file: its header says 4 TB of weights, and the file has that size without taking room.
    file = tmp_path / "huge.gguf"
    writer = GGUFWriter(str(file), "llama")
    writer.add_block_count(1)
    writer.add_context_length(2048)
    writer.add_embedding_length(64)
    writer.add_head_count(2)
    writer.add_tensor_info("token_embd.weight", [1_000_000, 1_000_000], np.dtype(np.float32), 4 * 10**12)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    size = file.stat().st_size
    try:
        os.truncate(file, size + 64 + 4 * 10**12)
    except OSError:
        pytest.skip("this file system has no sparse files of this size")
    sentence = await refusal(client, LoadRequest(file))
    assert "does not fit" in sentence and "4000.0 GB" in sentence and "available" in sentence


async def test_damaged_weights_are_noticed(tmp_path: Path) -> None:
    file = write_random_gguf(tmp_path / "poison.gguf", TINY, poison=True)
    client = KernelClient()
    try:
        with pytest.raises(KernelError, match="not finite numbers"):
            await client.load(LoadRequest(file, threads=1))
        assert client.model is None
        with pytest.raises(KernelError):
            await client.tokenize("x")
    finally:
        await client.close()


async def test_another_model_takes_the_place(client: KernelClient, tmp_path: Path, tiny: Path) -> None:
    other = write_random_gguf(tmp_path / "other.gguf", TINY, seed=5, template="", quantisation="Q8_0")
    model = await client.load(LoadRequest(other, context=512, kv_type="q8_0", threads=1))
    assert (model.quantisation, model.context) == ("Q8_0", 512)
    assert "im_start" in model.chat_template  # no template of its own, but ChatML tokens
    await client.load(LoadRequest(tiny, threads=1))


async def test_a_cancelled_load_does_not_block_what_follows(client: KernelClient, tiny: Path) -> None:
    task = asyncio.create_task(client.load(LoadRequest(tiny, context=768, threads=1)))
    await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    model = await client.load(LoadRequest(tiny, context=512, threads=1))
    assert model.context == 512
    assert (await client.stats()).context == 512


async def test_the_thread_probe_chooses(tiny: Path) -> None:
    client = KernelClient()
    try:
        model = await client.load(LoadRequest(tiny))
        assert 1 <= model.threads <= (os.cpu_count() or 1)
        assert model.context == 2048  # what it was trained for
        assert (await client.stats()).cells_used == 0
    finally:
        await client.close()


async def test_answers_together_in_each_cache_format(client: KernelClient, tiny: Path) -> None:
    prompt = list(range(60, 90))
    found = {}
    for kv_type in KV_TYPES:
        model = await client.load(LoadRequest(tiny, context=512, kv_type=kv_type, threads=1))
        assert model.kv_type == ("f16" if kv_type == "auto" else kv_type)
        found[kv_type] = await client.score(prompt)
        made = await answer(client, GenerateRequest(prompt, max_tokens=4, sampling=GREEDY, samples=3))
        assert made.end.completion_tokens == 4
    assert found["auto"] == found["f16"] != found["q8_0/f16"] != found["q8_0"]
    for kv_type in KV_TYPES:
        assert found[kv_type] == pytest.approx(found["f16"], abs=0.1)
    await client.load(LoadRequest(tiny, threads=1))
