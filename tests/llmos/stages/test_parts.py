from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.stages.architecture import Block, cosine_by_layer, drawing, power_law
from llmos.stages.frame import cited, figure_parts, live, recorded, visible
from llmos.stages.tokens import bpe_steps
from llmos.stages.training import heat_rows


@given(st.text(max_size=60), st.integers(0, 12))
def test_bpe_keeps_the_bytes_and_merges_the_most_frequent(text: str, steps: int) -> None:
    tokens, merges = bpe_steps(text, steps)
    assert b"".join(tokens) == text.encode()
    assert len(merges) <= steps
    assert all(merge.count >= 2 for merge in merges)
    assert len(tokens) <= len(text.encode())


def test_bpe_on_the_textbook_example() -> None:
    _, merges = bpe_steps("aaabdaaabac", 1)
    assert (merges[0].left, merges[0].right, merges[0].count) == (b"a", b"a", 4)


def test_the_drawing_has_the_files_own_shapes() -> None:
    found = [
        Block("token_embd", (8, 50), 1, 400, ""),
        Block("attn_q", (8, 8), 3, 192, ""),
        Block("ffn_up", (8, 32), 3, 768, ""),
        Block("output_norm", (8,), 1, 8, ""),
    ]
    tied = "\n".join(drawing(found, 2))
    assert (
        "token_embd 8x50" in tied
        and "3 times" in tied
        and "2 heads: attn_q 8x8" in tied
        and "ffn_up 8x32" in tied
    )
    assert "turned around" in tied
    own = "\n".join(drawing([*found, Block("output", (8, 50), 1, 400, "")], 0))
    assert "turned around" not in own and "output 8x50" in own


def test_figures_are_put_together_by_mark() -> None:
    figures = [
        live("A*b", 1234, "m", "tokens"),
        cited("C", "x", "y (2024)", "$", "disputed"),
        recorded("R", 0.5, "r"),
    ]
    parts = figure_parts(figures)
    assert [part.mark for part in parts] == ["live", "recorded", "cited"]
    assert parts[0].element.data["markdown"] == "- A*b: **1,234** tokens (m)"
    assert parts[2].element.data["markdown"] == "- C: **$x** (y (2024); disputed)"


def test_small_parts() -> None:
    assert heat_rows([[0.0, 1.0]]) == ["  @@"]
    assert visible(b" a\n") == "␣a⏎"
    assert cosine_by_layer([[1, 0], [1, 1]], [[0, 1], [1, 1]]) == pytest.approx([0.0, 1.0])
    a, b = power_law([1, 10, 100], [5, 0.5, 0.05])
    assert (a, b) == (pytest.approx(5), pytest.approx(-1))
