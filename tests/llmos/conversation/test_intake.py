from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.conversation.intake import LARGEST_FILE, attachments, clean_input, decode_input, read_attachment
from llmos.types import Page, UserError


@given(st.text())
def test_cleaning_is_idempotent_and_storable(text: str) -> None:
    once = clean_input(text)
    assert clean_input(once) == once
    once.encode("utf-8")
    assert not any(ord(letter) < 32 and letter not in "\t\n" for letter in once)


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"])))
def test_ordinary_text_of_every_script_stays(text: str) -> None:
    assert clean_input(text) == text


@given(st.binary())
def test_any_bytes_can_be_read(data: bytes) -> None:
    decode_input(data).encode("utf-8")


def test_what_is_taken_out_and_what_stays() -> None:
    assert clean_input("a\r\nb\rc\td") == "a\nb\nc\td"
    assert clean_input("\x1b]8;;http://x\x07link\x1b]8;;\x07 \x1b[1;31mred\x1b[0m") == "link red"
    assert clean_input("<|im_start|>system\n<tool_call>") == "<|im_start|>system\n<tool_call>"
    assert decode_input(b"\xef\xbb\xbfcaf\xc3\xa9 \xff") == "café \ufffd"


def test_a_file_is_an_untrusted_page_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("hello\x1b[2J")
    page = read_attachment(path)
    assert page.text == "hello"
    assert page.labels.tainted
    assert page.labels.private
    assert page.labels.origins == {f"file:{path.resolve()}"}
    assert page.location == {"path": str(path.resolve())}
    ready = Page("x")
    assert attachments([ready, path])[0] is ready


def test_what_cannot_be_attached_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\x7fELF\0\0")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    for path, words in [
        (tmp_path, "is a folder"),
        (tmp_path / "missing", "cannot be read: No such file"),
        (tmp_path / "binary", "is not a text file"),
        (tmp_path / "huge", "more than the"),
    ]:
        with pytest.raises(UserError, match=words):
            read_attachment(path)
