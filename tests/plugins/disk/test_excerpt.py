"""Excerpts of passages: readable, and nothing in them is Markdown any more."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from llmos_disk.excerpt import escaped, excerpt, without_signs

from llmos.cli.markdown import plain


def test_markdown_loses_its_signs() -> None:
    text = (
        "## Closing\n\n<!-- note -->Use [`fs.close()`][close] or [the guide](a/b.md), **never** *both*.\n"
        "* first_one\n* ![a picture](p.png)\n```js\nrun(a * b * c);\n```\n"
    )
    assert " ".join(without_signs(text).split()) == (
        "Closing Use fs.close() or the guide, never both. • first_one • a picture run(a * b * c);"
    )
    assert excerpt("a **b** c_d", "markdown") == "a b c\\_d"


def test_other_kinds_keep_theirs_and_show_them() -> None:
    assert plain(excerpt("x = a ** b ** c  # `y` [z](w)", "code")) == "x = a ** b ** c # `y` [z](w)"


def test_it_is_cut_at_a_word() -> None:
    assert excerpt("word " * 100, "text", 23) == "word word word word …"


@given(st.text(alphabet="ab_*`[]()<>\\~#!&| ", max_size=60))
def test_escaped_text_is_shown_as_it_is(text: str) -> None:
    line = "x " + " ".join(text.split())
    assert plain(escaped(line)).rstrip() == line.rstrip()
