"""Markdown of a command's result, drawn or plain."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.cli.markdown import drawn, echo_markdown, plain


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


TEXT = "**\\[1\\] /a/__init__.py:3** `fs.open()`\n*words #3* of *.py \\<b\\>\n\n- one: my_file_name\n- two"


def test_plain_leaves_out_signs_and_keeps_names_and_lines() -> None:
    assert plain(TEXT) == ("[1] /a/__init__.py:3 fs.open()\nwords #3 of *.py <b>\n\n- one: my_file_name\n- two")


def test_plain_keeps_tables_and_what_stands_in_code() -> None:
    table = "| # | folder |\n|---|---|\n| 1 | my_notes |"
    assert plain(table) == table
    assert plain("see\n\n```py\nx = a**b**c  # `y`\n```\nend") == "see\n\nx = a**b**c  # `y`\nend"
    assert plain("~~~\n```\n**a**\n~~~") == "```\n**a**"


@given(
    st.text(
        alphabet=st.characters(
            exclude_characters="\ue000\\`*_[]<>&!~#\r\n", exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]
        )
    )
)
def test_text_without_signs_stays_as_it_is(text: str) -> None:
    assert plain(text) == text


def test_a_terminal_shows_it_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.delenv("NO_COLOR", raising=False)
    shown = drawn(TEXT, Terminal())
    assert "\x1b[1m[1] /a/__init__.py:3\x1b[0m" in shown
    lines = re.sub(r"\x1b\[[\d;]*m", "", shown).split("\n")
    assert lines[:2] == ["[1] /a/__init__.py:3 fs.open()", "words #3 of *.py <b>"]
    assert " • one: my_file_name" in lines


def test_the_stream_decides_and_escapes_never_pass(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    echo_markdown("**a** \x1b[31mb")
    echo_markdown("`c`", err=True)
    captured = capsys.readouterr()
    assert captured.out == "a b\n"
    assert captured.err == "c\n"
    stream = Terminal()
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("sys.stdout", stream)
    echo_markdown("**a** \x1b[31mb")
    assert "\x1b[1ma\x1b[0m" in stream.getvalue()
    assert "[31m" not in stream.getvalue()
