"""The prompt: several lines, history, completion, chips for large pastes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message as TextualMessage
from textual.widgets import TextArea

from llmos.tui.actions import bindings

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
        text = self.text
        for chip, pasted in self._chips.items():
            text = text.replace(chip, pasted)
        return text

    @property
    def draft(self) -> str:
        """What was typed and not sent; while the history is looked through, what was there before."""
        text = self.full_text
        if self._place is not None and text == self.earlier[self._place]:
            return self._unsent
        return text

    def set_text(self, text: str) -> None:
        """Replace the text; the cursor goes to its end."""
        if self._place is not None:
            # The history was looked through: what was being written stays in it.
            self._place = None
            if self._unsent.strip() and self._unsent not in (text, *self.earlier[-1:]):
                self.earlier.append(self._unsent)
        self._show(text)

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

    def sent(self) -> None:
        """The text was accepted: remember it and empty the prompt."""
        self.remember()
        self.set_text("")

    def remember(self) -> None:
        """Up brings back what is in the prompt now."""
        text = self.full_text
        if text.strip() and (not self.earlier or self.earlier[-1] != text):
            self.earlier.append(text)

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
        if place >= len(self.earlier):
            self._place = None
            self.put_back(self._unsent)
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
        chip = f"[{name} {len(self._chips) + 1}: {lines} lines, {len(text)} characters]"
        self._chips[chip] = text
        self.insert(chip)

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
        """Put a completion in place of the word before the cursor."""
        row, column = self.cursor_location
        self.replace(replacement, (row, column - len(word)), (row, column))
