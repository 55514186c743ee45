"""The incremental decoder against Python's own, for any bytes cut anywhere."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llmos.kernel.utf8 import Utf8Stream


def _fed(parts: list[bytes]) -> list[str]:
    stream = Utf8Stream()
    return [*(stream.feed(part) for part in parts), stream.end()]


@given(st.lists(st.binary(max_size=7)))
def test_any_bytes_cut_anywhere(parts: list[bytes]) -> None:
    assert "".join(_fed(parts)) == b"".join(parts).decode("utf-8", "replace")


@given(st.text(), st.integers(1, 4))
def test_no_letter_is_ever_shown_in_halves(text: str, size: int) -> None:
    data = text.encode("utf-8", "replace")
    parts = _fed([data[at : at + size] for at in range(0, len(data), size)])
    assert "".join(parts) == data.decode()
    assert "�" not in "".join(parts) or "�" in text


def test_an_unfinished_letter_at_the_end() -> None:
    assert _fed(["é".encode()[:1]]) == ["", "�"]
    assert _fed([b"\xff", b"a"]) == ["�", "a", ""]
