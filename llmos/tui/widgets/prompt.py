"""The prompt: several lines, history, completion, chips for large pastes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.document._document import EditResult
from textual.document._edit import Edit
from textual.message import Message as TextualMessage
from textual.widgets import TextArea

from llmos.tui.actions import bindings
from llmos.wording import counted

if TYPE_CHECKING:
    from llmos.tui.widgets.vi import ViMode

#: A paste longer than this becomes a chip.
CHIP_CHARACTERS = 2_000
CHIP_LINES = 20


#: Keys of the text area that the program has another use for.
_TAKEN = frozenset({"f6", "f7", "pageup", "pagedown"})


def _large(text: str) -> bool:
    """Whether a text is shown as a chip."""
    return len(text) > CHIP_CHARACTERS or text.count("\n") >= CHIP_LINES


class Prompt(TextArea, inherit_bindings=False):
    """Enter sends; Ctrl+J or Alt+Enter makes a new line; Up and Down at the edges go through history."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(one for one in TextArea.BINDINGS if isinstance(one, Binding) and one.key not in _TAKEN),
        *bindings("prompt"),
    ]

    class Submitted(TextualMessage):
        """The user sent a text."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class CompletionWanted(TextualMessage):
        """The word before the cursor has changed; it may be completed."""

        def __init__(self, word: str, at_start: bool) -> None:
            super().__init__()
            self.word = word
            self.at_start = at_start

    class CompletionKey(TextualMessage):
        """Up, down, tab or escape while completions are shown."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    class EditorWanted(TextualMessage):
        """The user wants $EDITOR."""

    def __init__(self, *, id: str | None = None, placeholder: str = "") -> None:
        super().__init__(
            id=id,
            soft_wrap=True,
            show_line_numbers=False,
            tab_behavior="focus",
            compact=True,
            highlight_cursor_line=False,
            placeholder=placeholder,
        )
        self.earlier: list[str] = []
        self._place: int | None = None
        self._unsent = ""
        self._chips: dict[str, str] = {}
        self.completing = False
        self.vi: ViMode | None = None

    def use_vi(self, on: bool) -> None:
        """Vi keys on or off."""
        from llmos.tui.widgets.vi import ViMode

        self.vi = ViMode(self) if on else None

    @property
    def full_text(self) -> str:
        """The text with every chip replaced by what was pasted."""
        if not self._chips:
            return self.text
        # In one pass: a pasted text may itself hold what looks like a chip.
        chips = "|".join(map(re.escape, self._chips))
        return re.sub(chips, lambda found: self._chips[found[0]], self.text)

    @property
    def draft(self) -> str:
        """What was typed and not sent; while the history is looked through, what was there before."""
        text = self.full_text
        if self._place is not None and text == self.earlier[self._place]:
            return self._unsent
        return text

    @property
    def set_aside(self) -> list[str]:
        """What is out of sight only while the history is looked through."""
        return [self._unsent] if self._place is not None and self._unsent != self.draft else []

    def set_text(self, text: str) -> None:
        """Replace the text; the cursor goes to its end."""
        if self._place is not None:
            # The history was looked through: what was being written stays in it.
            self._place = None
            if self._unsent != text:
                self.add_earlier(self._unsent)
        self._show(text)

    def add_earlier(self, text: str) -> None:
        """Up brings back a text that is not in the prompt any more."""
        if text.strip() and self.earlier[-1:] != [text]:
            self.earlier.append(text)

    def add_before(self, texts: Sequence[str]) -> None:
        """The history begins with these, from an earlier run of the program."""
        self.earlier[:0] = texts
        if self._place is not None:
            self._place += len(texts)

    def _show(self, text: str) -> None:
        self._chips.clear()
        self.text = text
        self.move_cursor(self.document.end)

    def action_send(self) -> None:
        """Send, or take the chosen completion."""
        if self.completing:
            self.post_message(self.CompletionKey("enter"))
            return
        text = self.full_text
        if text.strip():
            self.post_message(self.Submitted(text))

    def take(self, text: str) -> bool:
        """The text was accepted: it leaves the prompt for the history; what was typed since stays.

        Returns:
            False when it is not there (any more): it was sent already.
        """
        whole = self.full_text
        if not text.strip() or not whole.startswith(text):
            return False
        self.add_earlier(text)
        self.set_text(whole[len(text) :])
        return True

    def remember(self) -> None:
        """Up brings back what is in the prompt now."""
        self.add_earlier(self.full_text)

    def action_newline(self) -> None:
        """Insert a line feed."""
        self.insert("\n")

    def action_editor(self) -> None:
        """Edit the text in $EDITOR."""
        self.post_message(self.EditorWanted())

    async def _on_key(self, event: events.Key) -> None:
        key = event.key
        if self.vi is not None and not self.completing and self.vi.key(key, event.character):
            event.stop()
            event.prevent_default()
            self.set_class(self.vi.normal, "-normal")
            return
        if key == "enter":
            # Enter sends by the binding; the text area would insert a line feed.
            event.prevent_default()
            return
        if self.completing and key in ("up", "down", "tab", "escape"):
            event.stop()
            event.prevent_default()
            self.post_message(self.CompletionKey(key))
            return
        if key in ("up", "down") and self._history_step(key):
            event.stop()
            event.prevent_default()

    def _history_step(self, key: str) -> bool:
        """Go through what was sent before; True when it did."""
        row = self.cursor_location[0]
        if key == "up" and row == 0 and self.earlier and self._first_visual_row():
            if self._place is None:
                self._unsent, self._place = self.full_text, len(self.earlier)
            if self._place > 0:
                self._recall(self._place - 1)
                return True
        if key == "down" and self._place is not None and row == self.document.line_count - 1:
            self._recall(self._place + 1)
            return True
        return False

    def _first_visual_row(self) -> bool:
        return self.wrapped_document.location_to_offset(self.cursor_location).y == 0

    def _recall(self, place: int) -> None:
        """Show an earlier text; one that was recalled and changed becomes the latest of them."""
        text, unsent, end = self.full_text, self._unsent, len(self.earlier)
        assert self._place is not None
        if text != unsent and (self._place >= end or text != self.earlier[self._place]):
            self.add_earlier(text)
        if place >= end:
            self._place = None
            self.put_back(unsent)
            return
        self._show(self.earlier[place])
        self._place = place

    async def _on_paste(self, event: events.Paste) -> None:
        text = event.text.replace("\r\n", "\n").replace("\r", "\n")
        if _large(text):
            event.prevent_default()
            event.stop()
            self._insert_chip("pasted text", text)

    def put_back(self, text: str) -> None:
        """Replace the text by one that was sent or set aside; a large one becomes a chip."""
        self.set_text("" if _large(text) else text)
        if _large(text):
            self._insert_chip("text", text)

    def _insert_chip(self, name: str, text: str) -> None:
        lines = text.count("\n") + 1
        size = f"{counted(lines, 'line')}, {counted(len(text), 'character')}"
        chip = f"[{name} {len(self._chips) + 1}: {size}]"
        self._chips[chip] = text
        # Also a selection is pasted over.
        if result := self._replace_via_keyboard(chip, *self.selection):
            self.move_cursor(result.end_location)

    def edit(self, edit: Edit) -> EditResult:
        """Every change of the text: a chip stays whole, or goes as a whole."""
        return super().edit(self._around_chips(edit) if self._chips else edit)

    def _around_chips(self, edit: Edit) -> Edit:
        start, end = edit.top, edit.bottom
        nothing = start == end
        for left, right in self._chips_in(start[0]):
            if left < start[1] < right:
                start = (start[0], right if nothing else left)
        for left, right in self._chips_in(end[0]):
            if left < end[1] < right:
                end = (end[0], right)
        return Edit(edit.text, start, end, edit.maintain_selection_offset)

    def _chips_in(self, row: int) -> Iterator[tuple[int, int]]:
        """Columns where the chips of a line begin and end."""
        line = self.document.get_line(row)
        for chip in self._chips:
            start = line.find(chip)
            while start >= 0:
                yield start, start + len(chip)
                start = line.find(chip, start + len(chip))

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Tell which word could be completed."""
        word, at_start = self.word_before_cursor()
        self.post_message(self.CompletionWanted(word, at_start))

    def word_before_cursor(self) -> tuple[str, bool]:
        """The word that ends at the cursor, and whether it begins the text."""
        row, column = self.cursor_location
        line = self.document.get_line(row)[:column]
        start = max(line.rfind(" "), line.rfind("\t")) + 1
        return line[start:], row == 0 and start == 0

    def complete(self, word: str, replacement: str) -> None:
        """Put a completion in place of the word before the cursor, if that is still there."""
        if self.word_before_cursor()[0] != word:
            return
        row, column = self.cursor_location
        self.replace(replacement, (row, column - len(word)), (row, column))
