"""Frames on the pipe, saved KV states, and finding models."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.kernel import frames, locate, swap
from llmos.kernel.protocol import KernelError
from llmos.settings import folders

json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.lists(st.tuples(json_like, st.binary(max_size=50)), max_size=5))
def test_frames_come_back(messages: list[tuple[object, bytes]]) -> None:
    reading, writing = os.pipe()
    try:
        for value, payload in messages:
            frames.write_frame(writing, {"v": value}, payload)
        for value, payload in messages:
            assert frames.read_frame(reading) == ({"v": value}, payload)
        os.close(writing)
        with pytest.raises(frames.BrokenPipe):
            frames.read_frame(reading)
    finally:
        os.close(reading)


async def test_async_frames_and_a_cut_one() -> None:
    reader = asyncio.StreamReader()
    data = frames.pack({"text": "ü\ud800"}, b"xyz")
    reader.feed_data(data + data[:-1])
    reader.feed_eof()
    assert await frames.read_frame_async(reader) == ({"text": "ü?"}, b"xyz")
    with pytest.raises(frames.BrokenPipe):
        await frames.read_frame_async(reader)


async def test_a_length_that_is_nonsense_is_no_frame() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(b"\xff" * 20)
    with pytest.raises(frames.BrokenPipe):
        await frames.read_frame_async(reader)


KEY = swap.SwapKey("model", "template", "build", 1024, "f16")


@given(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=50), st.binary(min_size=1, max_size=200))
def test_states_come_back_only_under_their_key(tmp_path: Path, tokens: list[int], state: bytes) -> None:
    file = tmp_path / "state"
    size = swap.write_state(file, KEY, tokens, state)
    assert file.stat().st_size == size
    assert swap.read_state(file, KEY) == (tokens, state)
    for change in ({"model": "x"}, {"template": "x"}, {"build": "x"}, {"context": 1}, {"kv_type": "q8_0"}):
        assert swap.read_state(file, replace(KEY, **change)) is None
    assert swap.read_state(file, replace(KEY, lora="x")) is None


@given(st.data())
def test_any_damage_is_noticed(tmp_path: Path, data: st.DataObject) -> None:
    file = tmp_path / "state"
    swap.write_state(file, KEY, [1, 2, 3], b"state" * 20)
    content = bytearray(file.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content)
    found = swap.read_state(file, KEY)
    assert found is None or found == ([1, 2, 3], b"state" * 20)  # a blank in the header may differ


def test_a_state_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KernelError, match="cannot be written"):
        swap.write_state(tmp_path / "file" / "state", KEY, [1], b"x")
    full = Path("/dev/full")
    if full.exists():
        (tmp_path / "state").mkdir()
        with pytest.raises(KernelError, match="cannot be written"):
            swap.write_state(tmp_path / "state", KEY, [1], b"x")
        assert list(tmp_path.glob("*.part")) == []


@pytest.fixture
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("chat", "base"):
        (folder / f"own-{name}.gguf").write_bytes(tiny.read_bytes())
    (folder / "models.toml").write_text(
        '[[models]]\nrole = "chat"\nfile = "own-chat.gguf"\nsha256 = "00"\nselectable = true\nname = "own"\n'
        '[[models]]\nrole = "base"\nfile = "own-base.gguf"\n'
        '[[models]]\nrole = "judge"\nfile = "gone.gguf"\n',
        encoding="utf-8",
    )
    monkeypatch.setattr(locate, "bundled_folder", lambda: folder)
    return folder


def test_bundled_models(bundled: Path) -> None:
    assert [(one.name, one.role, one.selectable) for one in locate.bundled_models(bundled)] == [
        ("own", "chat", True),
        ("own-base", "base", False),
    ]
    below = bundled / "build"
    below.mkdir()
    (below / "twin.gguf").write_bytes(b"GGUF")
    (below / "models.toml").write_text('[[models]]\nrole = "twin"\nfile = "twin.gguf"\n', encoding="utf-8")
    assert locate.with_role("twin") == replace(
        locate.bundled_models(bundled)[-1], path=below / "twin.gguf", bytes=4
    )
    chat = locate.bundled_models(bundled)[0]
    assert not locate.intact(chat)
    assert locate.intact(replace(chat, sha256=""))
    (bundled / "models.toml").write_text("[[models]", encoding="utf-8")
    with pytest.raises(KernelError, match=r"models\.toml"):
        locate.bundled_models(bundled)


def test_names_and_paths(bundled: Path, tmp_path: Path, tiny: Path) -> None:
    mine = folders().data / "models" / "sub"
    mine.mkdir(parents=True)
    for name in ("Qwen-8B-Q4.gguf", "Qwen-4B-Q4.gguf", "x-mmproj-y.gguf", "big-00002-of-00003.gguf"):
        (mine / name).write_bytes(b"GGUF")
    assert [one.name for one in locate.user_models()] == ["Qwen-4B-Q4", "Qwen-8B-Q4"]
    assert [one.name for one in locate.local_models()] == ["own", "Qwen-4B-Q4", "Qwen-8B-Q4"]
    assert locate.resolve(str(tiny)).path == tiny
    assert locate.resolve("qwen-8b").name == "Qwen-8B-Q4"
    assert locate.resolve("own-base").role == "base"
    with pytest.raises(KernelError, match="More than one"):
        locate.resolve("qwen")
    with pytest.raises(KernelError, match="no model named nothing"):
        locate.resolve("nothing")
    with pytest.raises(KernelError, match="no model file"):
        locate.resolve(str(tmp_path / "none.gguf"))
    assert locate.resolve("").name == "own"


def test_a_missing_bundled_model_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locate, "bundled_folder", lambda: tmp_path)
    with pytest.raises(KernelError, match="bundled model is missing"):
        locate.resolve("")
