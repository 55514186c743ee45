"""Chunks: their size, their place, and that nothing is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from llmos_disk.blocks import Block
from llmos_disk.chunker import CAPACITY, MAX_TOKENS, chunk_blocks, estimate_tokens, passage_text

_LINES = st.lists(
    st.text(alphabet=st.sampled_from("abc defg. ,日本"), min_size=0, max_size=120), min_size=1, max_size=60
)


@given(_LINES, st.integers(1, 500))
def test_chunks_know_their_lines_and_lose_nothing(lines: list[str], first: int) -> None:
    text = "\n".join(lines)
    chunks = chunk_blocks([Block(text, ("H",), line=first)])
    for chunk in chunks:
        assert len(chunk.text) <= CAPACITY[1]
        start = chunk.line - first
        covered = "\n".join(lines[start : chunk.end_line - first + 1])
        assert chunk.text in covered
    kept = "".join("".join(chunk.text.split()) for chunk in chunks)
    assert kept == "".join(text.split())


def test_dense_text_is_cut_by_tokens() -> None:
    chunks = chunk_blocks([Block("日本語の文章です。" * 200, line=1)])
    assert len(chunks) > 5 and max(estimate_tokens(chunk.text) for chunk in chunks) <= MAX_TOKENS


def test_one_long_word_is_cut() -> None:
    chunks = chunk_blocks([Block("x" * 10_000, line=1)])
    assert all(len(chunk.text) <= CAPACITY[1] for chunk in chunks)
    assert sum(len(chunk.text) for chunk in chunks) == 10_000


def test_short_neighbours_are_joined_across_gaps_but_not_across_headings() -> None:
    blocks = [Block("one", ("A",), 1), Block("two", ("A",), 3), Block("three", ("B",), 5)]
    chunks = chunk_blocks(blocks)
    assert [(chunk.text, chunk.line, chunk.end_line) for chunk in chunks] == [
        ("one\n\ntwo", 1, 3),
        ("three", 5, 5),
    ]


def test_pages_are_not_joined() -> None:
    assert len(chunk_blocks([Block("one", page=1), Block("two", page=2)])) == 2


def test_headings_stand_in_front_and_long_ones_give_way() -> None:
    chunk = chunk_blocks([Block("text", ("outer " * 30, "inner " * 20), 1)])[0]
    assert "inner" in chunk.heading and "outer" not in chunk.heading
    assert passage_text("a.md", "H > I", "text") == "a.md > H > I\ntext"
