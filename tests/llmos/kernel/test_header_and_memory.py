"""The GGUF header reader and the estimate of memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from gguf import GGUFReader
from hypothesis import given
from hypothesis import strategies as st

from llmos.bench.random_gguf import B1, M15, TINY, Shape, write_random_gguf
from llmos.kernel import memory
from llmos.kernel.cache_format import FORMATS
from llmos.kernel.engine import Engine
from llmos.kernel.gguf_header import Header, TensorEntry, check_complete, fingerprint, read_header
from llmos.kernel.protocol import KernelError


def test_agrees_with_the_gguf_package(tiny: Path) -> None:
    header, reader = read_header(tiny), GGUFReader(tiny)
    assert header.architecture == "llama"
    assert header.vocabulary == 512
    assert header.data_start == reader.data_offset
    assert {(t.name, t.elements, t.bytes) for t in header.tensors} == {
        (t.name, int(t.n_elements), int(t.n_bytes)) for t in reader.tensors
    }
    assert header.expected_bytes <= header.file_bytes < header.expected_bytes + 64
    check_complete(header)


@given(st.data())
def test_no_damage_raises_anything_but_a_sentence(tiny: Path, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(tiny.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, 14_000))] = data.draw(st.integers(0, 255))
    file = tmp_path / "damaged.gguf"
    file.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    try:
        check_complete(read_header(file))
    except KernelError as error:
        assert str(file) in str(error)


def test_fingerprints_differ(tiny: Path, tmp_path: Path) -> None:
    other = write_random_gguf(tmp_path / "other.gguf", TINY, seed=1)
    same = tmp_path / "same.gguf"
    same.write_bytes(tiny.read_bytes())
    assert fingerprint(tiny) == fingerprint(same) != fingerprint(other)


def _header(shape: Shape, **changes: object) -> Header:
    metadata = {
        "general.architecture": "llama",
        "llama.block_count": shape.layers,
        "llama.embedding_length": shape.width,
        "llama.feed_forward_length": shape.feed_forward,
        "llama.attention.head_count": shape.heads,
        "llama.attention.head_count_kv": shape.kv_heads,
        "llama.context_length": shape.context,
        **changes,
    }
    weights = TensorEntry("w", (shape.parameters // 32 * 32,), 8, 0)
    return Header(
        Path("model.gguf"), weights.bytes, 0, metadata, {"tokenizer.ggml.tokens": shape.vocabulary}, (weights,)
    )


def test_the_kv_cache_of_a_known_shape() -> None:
    # Measured with llama.cpp on the 1.2B shape: 64 MiB at 2k, 1,024 at 32k, 544 at 32k in q8_0.
    header = _header(B1)
    assert memory.need(header, 2048).kv == 64 << 20
    assert memory.need(header, 32768).kv == 1024 << 20
    assert memory.need(header, 32768, kv_type="q8_0").kv == 544 << 20
    assert memory.need(header, 32768, kv_type="q8_0/f16").kv == (512 + 272) << 20


def test_layers_without_attention_have_no_cache() -> None:
    every = memory.kv_width(_header(B1))
    half = memory.kv_width(_header(B1, **{"llama.attention.head_count_kv": [8, 0] * 8}))
    assert half == (every[0] // 2, every[1] // 2)


def test_the_default_context() -> None:
    assert memory.choose_context(_header(B1), memory=64 << 30)[0] == 8192
    short = _header(B1, **{"llama.context_length": 2048})
    assert memory.choose_context(short, memory=64 << 30)[0] == 2048
    little = memory.choose_context(_header(B1), memory=1750 << 20)[0]
    assert 256 <= little < 8192


@given(st.integers(1500 << 20, 64 << 30), st.sampled_from(sorted(FORMATS)))
def test_the_largest_context_fits_and_no_larger_one(bytes_: int, kv_type: str) -> None:
    header = _header(B1)
    largest = memory.largest_context(header, bytes_, kv_type=kv_type)
    room = bytes_ - memory.RESERVE
    if largest:
        assert memory.need(header, largest, kv_type=kv_type).total <= room
    if largest < (1 << 14) * 256:
        assert memory.need(header, largest + 256, kv_type=kv_type).total > room


def test_the_faster_cache_is_taken_where_it_costs_little() -> None:
    assert memory.choose_kv_type(_header(B1), memory=64 << 30) == "q8_0/f16"
    # A tiny one is fast anyway, and its numbers are looked at.
    assert memory.choose_kv_type(_header(M15), memory=64 << 30) == "f16"
    # The scores of a long context that flash attention never keeps outweigh the keys that it saves.
    assert memory.choose_kv_type(_header(B1), 131_072, memory=64 << 30) == "f16"
    # Rows of 80 values are not whole blocks.
    odd = _header(B1, **{"llama.attention.key_length": 80})
    assert memory.choose_kv_type(odd, memory=64 << 30) == "f16"
    assert memory.choose_kv_type(_header(B1, **{"llama.attention.kv_lora_rank": 512}), memory=64 << 30) == "f16"


@given(st.integers(1100 << 20, 4 << 30), st.integers(256, 65_536))
def test_it_never_makes_a_load_fail(bytes_: int, context: int) -> None:
    header = _header(B1)
    kv_type = memory.choose_kv_type(header, context, memory=bytes_)
    if memory.need(header, context).total + memory.RESERVE <= bytes_:
        assert memory.choose_context(header, context, kv_type=kv_type, memory=bytes_)[0] == context


def test_refusals_give_numbers_and_a_way_out() -> None:
    header = _header(B1)
    with pytest.raises(KernelError, match=r"1.3 GB.*smaller\s+model"):
        memory.choose_context(header, memory=1 << 30)
    with pytest.raises(KernelError, match=r"largest that fits is (\d+,)?\d+ tokens") as caught:
        memory.choose_context(header, 1_000_000, memory=4 << 30)
    largest = int(str(caught.value).rsplit(" is ", 1)[1].split(" ")[0].replace(",", ""))
    assert memory.choose_context(header, largest, memory=4 << 30)[0] == largest


def test_what_is_available_is_a_sensible_number() -> None:
    assert 10 << 20 < memory.available() < 1 << 50
    assert memory.show_bytes(1_234_000_000) == "1.2 GB"
    assert memory.show_bytes(640_000_000) == "640 MB"


def test_the_estimate_against_the_process(tmp_path: Path) -> None:
    import psutil

    shape = Shape("real", 512, 8, 8, 8, 1024, 8000, context=8192)
    file = write_random_gguf(tmp_path / "real.gguf", shape, quantisation="F16")
    wanted = memory.need(read_header(file), 8192)
    before = psutil.Process().memory_info().rss
    engine = Engine(file, context=8192, threads=1, max_sequences=2)
    engine.decode([(20, at, 0, at == 159) for at in range(160)])
    grown = psutil.Process().memory_info().rss - before
    engine.close()
    # 128 MiB of KV, 60 MiB of weights: the estimate may be high by the mapped file, not low.
    assert grown < wanted.total
    assert grown > 0.4 * (wanted.kv + wanted.compute)
