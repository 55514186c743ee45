"""Each format: its text, its headings, its lines and pages."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmos_disk.blocks import Unreadable, clean_text
from llmos_disk.readers import kind_of, read
from llmos_disk.readers.encoding import decode, looks_binary

from .conftest import make_docx, make_epub, make_pdf


def test_markdown_sections_know_their_headings_and_lines() -> None:
    text = (
        "intro\n\n# One\n\nfirst [link](http://x.y) text\n\n```\n# no heading\n```\n\n## Two `code`\nsecond\n"
    )
    blocks = read(text.encode(), "markdown")
    assert [(block.headings, block.line) for block in blocks] == [
        ((), 1),
        (("One",), 5),
        (("One", "Two code"), 12),
    ]
    assert blocks[1].text.startswith("first link text") and "# no heading" in blocks[1].text


def test_markdown_setext_front_matter_and_comments() -> None:
    text = "---\ntitle: x\n---\nTitle\n=====\nbody <!-- gone --> stays\n<!--\nhidden\n-->\nSub\n---\nend\n"
    blocks = read(text.encode(), "markdown")
    assert [block.headings for block in blocks] == [("Title",), ("Title", "Sub")]
    assert "hidden" not in blocks[0].text and "stays" in blocks[0].text and "gone" not in blocks[0].text


def test_rst_levels_follow_the_order_of_their_marks() -> None:
    text = "=====\nBook\n=====\n\nlead\n\nPart\n----\n\nuse :func:`open` here\n\nDeep\n~~~~\nx y\n\nNext\n----\nz z\n"
    blocks = read(text.encode(), "rst")
    assert [block.headings for block in blocks] == [
        ("Book",),
        ("Book", "Part"),
        ("Book", "Part", "Deep"),
        ("Book", "Next"),
    ]
    assert blocks[1].text == "use open here" and blocks[1].line == 10


def test_html_leaves_out_scripts_and_keeps_source_lines() -> None:
    page = (
        "<html><head><title>T</title></head><body><nav>menu</nav>\n<h1>Top</h1>\n<p>one</p>\n"
        "<script>alert(1)</script>\n<h2>Sub</h2>\n<p>two</p><table><tr><td>a</td><td>b</td></tr></table></body></html>"
    )
    blocks = read(page.encode(), "html")
    assert [(block.headings, block.line) for block in blocks] == [(("Top",), 3), (("Top", "Sub"), 6)]
    assert "alert" not in str(blocks) and "menu" not in str(blocks)
    assert "a | b" in blocks[1].text


def test_pdf_pages_are_numbered() -> None:
    blocks = read(make_pdf(["first page text", "second page text"]), "pdf")
    assert [(block.page, block.text) for block in blocks] == [(1, "first page text"), (2, "second page text")]


def test_docx_headings_and_epub_chapters() -> None:
    blocks = read(make_docx([("Heading1", "Plan"), ("Normal", "Buy seven lamps.")]), "docx")
    assert blocks[0].headings == ("Plan",) and "seven lamps" in blocks[0].text and blocks[0].line == 0
    blocks = read(make_epub([("One", "It began."), ("Two", "It ended.")]), "epub")
    assert [(block.headings, block.part) for block in blocks] == [
        (("One",), "c0.xhtml"),
        (("Two",), "c1.xhtml"),
    ]


def test_csv_records_carry_their_columns_and_lines() -> None:
    rows = "name;price\n" + "".join(f"lamp {n};{n}\n" for n in range(100))
    blocks = read(rows.encode(), "csv")
    assert blocks[0].line == 2 and blocks[0].text.startswith("name: lamp 0; price: 0")
    second = blocks[1]
    assert second.text.split("\n")[0] == f"name: lamp {second.line - 2}; price: {second.line - 2}"


def test_json_one_line_is_flattened_and_formatted_json_keeps_lines() -> None:
    assert read(b'{"a": {"b": [1, "two"]}}', "json")[0].text == "a.b[0]: 1\na.b[1]: two"
    formatted = json.dumps({"a": 1, "b": {"c": 2}}, indent=1).encode()
    assert read(formatted, "json")[0].line == 1
    lines = read(b'{"a": 1}\n{"a": 2}\n{"a": 3}\n{"a": 4}\n', "json")
    assert [(block.line, block.text) for block in lines] == [(n, f"a: {n}") for n in (1, 2, 3, 4)]
    assert read(b"[" * 3000 + b"]" * 3000, "json")  # nested past Python's limit: taken as plain text


def test_notebook_cells_are_under_the_headings_before_them() -> None:
    book = {
        "cells": [
            {"cell_type": "markdown", "source": ["# Load\n", "words"]},
            {"cell_type": "code", "source": "x = 1", "outputs": [{"text": "never"}]},
        ]
    }
    blocks = read(json.dumps(book).encode(), "notebook")
    assert [(block.headings, block.part, block.text) for block in blocks] == [
        (("Load",), "cell 1", "words"),
        (("Load",), "cell 2", "x = 1"),
    ]


def test_python_is_cut_at_definitions() -> None:
    text = '"""Doc."""\nimport os\n\n\nclass A:\n    """Of A."""\n\n    @property\n    def b(self):\n        return 1\n\n\ndef c():\n    pass\n'
    blocks = read(text.encode(), "python")
    assert [(block.headings, block.line) for block in blocks] == [
        ((), 1),
        (("class A",), 5),
        (("class A", "def b"), 8),
        (("def c",), 13),
    ]


def test_other_code_is_cut_at_what_looks_like_a_definition() -> None:
    text = "// The sum.\nfunction add(a, b) {\n  return a + b;\n}\n\nexport class Box {\n}\n"
    blocks = read(text.encode(), "code")
    assert [block.headings for block in blocks] == [("function add",), ("export class Box",)]
    assert blocks[0].line == 1


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-8", "Grüße, naïve"),
        ("utf-8-sig", "Grüße"),
        ("utf-16", "Grüße"),
        ("utf-16-le", "plain words without a mark"),
        ("utf-32", "Grüße"),
        ("cp1252", "Die Straße führt über die Brücke; schöne Grüße an alle Gärtner für die Äpfel."),
        ("shift_jis", "これは日本語の文章です。庭のトマトには毎朝水をやります。豆は二メートルの棒に登ります。"),
    ],
)
def test_encodings_are_found(encoding: str, text: str) -> None:
    assert decode(text.encode(encoding)) == text


@given(st.text(alphabet=st.characters(blacklist_categories=("Cs", "Cc", "Cf", "Co", "Cn", "Zl", "Zp", "Zs"))))
def test_utf8_text_comes_back_as_it_was(text: str) -> None:
    assert decode(text.encode()) == text


@given(st.binary(max_size=400))
def test_no_bytes_make_decoding_fail(data: bytes) -> None:
    looks_binary(data)
    assert isinstance(decode(data), str)


@given(st.text())
def test_clean_text_never_leaves_a_control_character(text: str) -> None:
    cleaned = clean_text(text + "\x1b[31mred\x1b]8;;http://x\x07link\x9b2J\u202eback\U000e0041")
    assert all(letter in "\n\t\u200c\u200d" or letter.isprintable() for letter in cleaned)
    assert "[31m" not in cleaned.removeprefix(text)


@given(
    st.sampled_from(["markdown", "rst", "html", "csv", "json", "notebook", "python", "code"]),
    st.text(max_size=300),
)
def test_text_readers_accept_any_text(kind: str, text: str) -> None:
    try:
        blocks = read(text.encode("utf-8", "replace"), kind)
    except Unreadable:
        return
    assert blocks


@given(st.sampled_from(["pdf", "docx", "epub"]), st.binary(max_size=200))
def test_broken_documents_are_unreadable_and_nothing_else(kind: str, data: bytes) -> None:
    prefix = b"%PDF-1.4\n" if kind == "pdf" else b"PK\x03\x04"
    with pytest.raises(Unreadable):
        read(prefix + data, kind)


def test_kinds_by_name() -> None:
    assert kind_of("a/b.MD") == "markdown" and kind_of("x.png") == "binary"
    assert kind_of("README") is None and kind_of(".bashrc") is None
