from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.plugins import wire
from llmos.plugins.contributions import Element, Turn
from llmos.types import EffectClass, Labels, Message, Page, ToolResult, ToolSpec

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


def there_and_back(value: object) -> object:
    frame = wire.pack({"value": value})
    assert wire.frame_length(frame[: wire.HEADER_SIZE]) == len(frame) - wire.HEADER_SIZE
    return wire.unpack(frame[wire.HEADER_SIZE :])["value"]


@given(_json)
def test_plain_data_crosses_unchanged(value: object) -> None:
    assert there_and_back(value) == value


def test_the_programs_own_types_cross() -> None:
    page = Page("text", labels=Labels(frozenset({"file:/x"})), location={"line": 3})
    turn = Turn("c", Message("user", "hi", pages=(page,)), budget=5, window=[page])
    back = there_and_back(turn)
    assert isinstance(back, Turn)
    assert back.user == turn.user and list(back.window) == [page]
    spec = ToolSpec("t", "d", {"type": "object"}, EffectClass.WRITE)
    assert there_and_back(spec) == spec
    result = ToolResult("x", urls=("a", "b"), pages=(page,), data={"b": [1]})
    assert there_and_back(result) == result
    assert there_and_back([Element("text", {"markdown": "m"})]) == [Element("text", {"markdown": "m"})]
    assert there_and_back(b"\x00\xff") == b"\x00\xff"
    assert there_and_back(Path("/x/y")) == "/x/y"


@pytest.mark.parametrize("value", [object(), print, {"deep": [object()]}, 1j])
def test_what_may_not_cross_is_refused(value: object) -> None:
    with pytest.raises(wire.WireError):
        wire.pack({"value": value})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"value": {"$d": "Popen", "v": {}}}',
        b'{"value": {"$d": "Page", "v": {"nothing": 1}}}',
        b'{"value": {"$d": "Page", "v": {"text": 5}}}',
        b'{"value": {"$d": "Page", "v": {"text": "x", "labels": "trusted"}}}',
        b'{"value": {"$d": "ToolResult", "v": {"text": {"$m": {}}}}}',
        b'{"value": {"$e": "Integrity", "v": "sure"}}',
        b'{"value": {"$q": 1}}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_forged_frames_are_refused(body: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.unpack(body)


def test_frames_have_a_limit() -> None:
    with pytest.raises(wire.WireError):
        wire.frame_length((wire.MAX_FRAME + 1).to_bytes(4, "little"))


@given(st.binary(max_size=200))
def test_noise_never_breaks_more_than_the_frame(body: bytes) -> None:
    with contextlib.suppress(wire.WireError):
        wire.unpack(body)
