"""Vi keys for the prompt: a small normal mode, off unless the settings ask for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmos.tui.widgets.prompt import Prompt


class ViMode:
    """Normal and insert mode; gives True when it used a key."""

    def __init__(self, prompt: Prompt) -> None:
        self._prompt = prompt
        self._waiting = ""
        self.normal = False

    def key(self, key: str, character: str | None) -> bool:
        """Handle a key."""
        if not self.normal:
            if key == "escape":
                self.normal = True
                self._prompt.action_cursor_left()
                return True
            return False
        if key == "escape":
            return False  # Esc a second time is the program's own: stop.
        if character is None or not character.isprintable():
            return False
        command, self._waiting = self._waiting + character, ""
        action = self._commands().get(command)
        if action is not None:
            action()
        elif command in ("d", "c", "g"):
            self._waiting = command
        return True

    def _insert(self, before: Callable[[], object] = lambda: None) -> Callable[[], None]:
        def go() -> None:
            before()
            self.normal = False

        return go

    def _commands(self) -> dict[str, Callable[[], object]]:
        prompt = self._prompt

        def open_below() -> None:
            prompt.action_cursor_line_end()
            prompt.insert("\n")

        def open_above() -> None:
            prompt.action_cursor_line_start()
            prompt.insert("\n")
            prompt.action_cursor_up()

        return {
            "h": prompt.action_cursor_left,
            "l": prompt.action_cursor_right,
            "j": prompt.action_cursor_down,
            "k": prompt.action_cursor_up,
            "w": prompt.action_cursor_word_right,
            "b": prompt.action_cursor_word_left,
            "0": prompt.action_cursor_line_start,
            "$": prompt.action_cursor_line_end,
            "gg": lambda: prompt.move_cursor((0, 0)),
            "G": lambda: prompt.move_cursor(prompt.document.end),
            "x": prompt.action_delete_right,
            "X": prompt.action_delete_left,
            "D": prompt.action_delete_to_end_of_line,
            "dd": prompt.action_delete_line,
            "dw": prompt.action_delete_word_right,
            "db": prompt.action_delete_word_left,
            "u": prompt.action_undo,
            "p": prompt.action_paste,
            "i": self._insert(),
            "a": self._insert(prompt.action_cursor_right),
            "A": self._insert(prompt.action_cursor_line_end),
            "I": self._insert(prompt.action_cursor_line_start),
            "o": self._insert(open_below),
            "O": self._insert(open_above),
            "C": self._insert(prompt.action_delete_to_end_of_line),
            "cw": self._insert(prompt.action_delete_word_right),
            "cc": self._insert(prompt.action_delete_line),
        }
