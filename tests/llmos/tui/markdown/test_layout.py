from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.tui.markdown.extract import code_blocks
from llmos.tui.markdown.layout import render
from llmos.tui.markdown.lines import plain_text, selected_text


def rows(text: str, width: int = 40) -> list[str]:
    return [line.content.plain.rstrip() for line in render(text, width)]


def test_links_show_their_whole_target() -> None:
    assert rows("[here](https://evil.example/path?x=1)") == ["here (https://evil.example/path?x=1)"]
    assert rows("<https://a.example>") == ["https://a.example"]
    assert rows("![alt text](http://b.example/i.png)", 60) == ["[image: alt text] (http://b.example/i.png)"]


def test_lists_keep_their_numbers_and_marks() -> None:
    assert rows("3. a\n4. b\n   - c\n") == ["3. a", "4. b", "   ◦ c"]
    assert rows("- [ ] open\n- [x] done") == ["• ☐ open", "• ☑ done"]


def test_tables_align_wrap_and_become_lists_when_there_is_no_room() -> None:
    table = "| name | n |\n|---|--:|\n| a | 1 |\n| b | 22 |\n"
    assert rows(table) == ["name │  n", "─────┼───", "a    │  1", "b    │ 22"]
    wide = "| one | two |\n|---|---|\n| some longer words here | and also here |\n"
    assert all(len(row) <= 24 for row in rows(wide, 24))
    assert rows("| a | b | c |\n|---|---|---|\n| 1 | 2 | 3 |\n", 6) == ["a: 1", "b: 2", "c: 3"]


def test_code_keeps_its_text_and_is_highlighted() -> None:
    text = "```python\ndef f():\n\treturn 1\n```\n"
    assert rows(text) == [" python", " def f():", "     return 1"]
    lines = render(text, 40)
    assert any("$text-accent" in str(span.style) for span in lines[1].content.spans)
    assert plain_text(lines).endswith("def f():\n    return 1")
    assert code_blocks(text) == ["def f():\n\treturn 1\n"]


def test_html_is_text() -> None:
    assert rows("<script>alert(1)</script>") == ["<script>alert(1)</script>"]


def test_copying_joins_wrapped_lines_and_drops_decoration() -> None:
    text = "- a long item that is wrapped over several rows of the screen\n- b\n"
    lines = render(text, 24)
    assert len(lines) > 3
    assert plain_text(lines) == "• a long item that is wrapped over several rows of the screen\n• b"
    assert selected_text(lines, (0, 2), (1, 9)) == "a long item that is wrapped"
    assert selected_text(lines, None, None) == plain_text(lines)


def test_a_long_word_is_cut_and_copied_whole() -> None:
    address = "https://example.org/" + "x" * 50
    assert plain_text(render(address, 20)) == address


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300), st.integers(4, 90))
def test_no_line_is_wider_than_asked(text: str, width: int) -> None:
    for line in render(text, width):
        assert line.content.cell_length <= max(width, 4)
        assert "\n" not in line.content.plain


@pytest.mark.parametrize("text", ["漢字と仮名" * 10, "e\u0301" * 60, "שלום עולם " * 12])
def test_wide_combining_and_right_to_left_text_is_kept(text: str) -> None:
    lines = render(text, 21)
    assert "".join(plain_text(lines).split()) == "".join(text.split())
    assert all(line.content.cell_length <= 21 for line in lines)
