"""Marked sentences in the transcript: drawn inside the answer, told below it, there again after a restart."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.pilot import Pilot

from llmos.tui.app import LlmosApp
from llmos.tui.markdown.inline import CLOSE, OPEN, STYLES, marked
from llmos.tui.markdown.layout import render
from llmos.tui.markdown.lines import plain_text
from llmos.tui.tabs import TABS
from llmos.tui.widgets.answer import AnswerBlock
from llmos.types import AnswerMarked, Citation, Mark, Message, Page
from tests.helpers.face import LARGE, SMALL, wait_until
from tests.helpers.fake_session import FakeBackend, words

BARE = "It was shipped on the *Meridian* from Oslo."
TEXT = f"The Karsten organ was built in 1902 [1]. {BARE} It has three manuals [1]."


def underlined(text: str) -> str:
    """What of the rendered text carries the style of a mark."""
    found = ""
    for line in render(text, 200):
        for span in line.content.spans:
            if span.style == STYLES["mark"]:
                found += line.content.plain[span.start : span.end]
    return found


def test_a_marked_sentence_is_underlined_whatever_stands_in_it() -> None:
    shown = marked(TEXT, [(TEXT.index("It was"), BARE)])
    assert underlined(shown) == "It was shipped on the Meridian from Oslo."
    assert "from Oslo. [?] It has" in plain_text(render(shown, 200))
    bold = "- **All bold.**\n- Second."
    assert underlined(marked(bold, [(2, "**All bold.**")])) == "All bold."
    assert "**" not in plain_text(render(marked(bold, [(2, "**All bold.**")]), 80))


def test_what_is_not_there_is_left_out_and_signs_cannot_be_forged() -> None:
    assert marked("Some text.", [(0, "other"), (3, "")]) == "Some text."
    assert marked(f"{OPEN}Fake.{CLOSE} Real.", [(7, "Real.")]) == f"Fake. {OPEN}Real.{CLOSE}"


@given(st.text(max_size=60), st.integers(0, 60), st.integers(0, 60))
def test_marking_changes_no_letter_of_the_text(text: str, start: int, length: int) -> None:
    bare = text.replace(OPEN, "").replace(CLOSE, "")
    shown = marked(text, [(start, bare[start : start + length])])
    assert shown.replace(OPEN, "").replace(CLOSE, "") == bare


def test_marks_that_are_stored_come_back_and_nonsense_is_ignored() -> None:
    row = {"start": 3, "end": 9, "text": BARE, "note": "No\x1b[31m passage.", "kind": "unsupported"}
    block = AnswerBlock(Message("assistant", TEXT, stats={"marks": [row, 7, {"text": 3}]}))
    assert [mark.text for mark in block.marks] == [BARE] and "\x1b" not in block.marks[0].note
    shown = plain_text(block.layout_lines(100))
    assert "[?]" in shown and "passage." in shown


def scene() -> Callable[[Pilot[None]], Awaitable[None]]:
    async def play(pilot: Pilot[None]) -> None:
        screen: Any = pilot.app.screen
        await wait_until(pilot, lambda: screen.filled and screen.query("Welcome"))
        await wait_until(pilot, lambda: "small test model" in str(screen.query_one("#welcome").render()))
        screen.prompt.cursor_blink = False
        screen.prompt.set_text("Tell me of the Karsten organ.")
        await pilot.press("enter")
        await wait_until(pilot, lambda: screen.query(AnswerBlock) and screen.query(AnswerBlock).first().done)
        await wait_until(pilot, lambda: not screen.face.turns)
        await wait_until(pilot, lambda: pilot.app.figures.context_used)  # type: ignore[attr-defined]
        await pilot.pause(0.2)

    return play


def script(text: str) -> list[Any]:
    page = Page("Built in 1902.", "passage", source="organs/karsten.md", heading="Karsten organ", number=1)
    mark = Mark(TEXT.index("It was"), TEXT.index(BARE) + len(BARE), BARE, "No passage supports this.")
    return [*words(TEXT), Citation(1, page), AnswerMarked(mark)]


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "140x40"])
def test_marks_in_the_transcript(
    size: tuple[int, int], snap_compare: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMOS_HOME", "/nonexistent/llmos-home")
    app = LlmosApp(lambda: FakeBackend(script))
    app.tabs = [TABS[0], TABS[-1]]  # tabs that come and go elsewhere are no matter of this picture
    assert snap_compare(app, terminal_size=size, run_before=scene())
