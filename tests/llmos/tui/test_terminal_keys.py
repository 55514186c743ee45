from __future__ import annotations

from textual._xterm_parser import XTermParser

from llmos.tui.actions import ACTIONS
from llmos.tui.terminal_keys import AltKey, install


def test_alt_enter_and_alt_digits_are_keys_of_their_own() -> None:
    install()
    keys = {"\x1b\r": "alt+enter", "\x1b3": "alt+3", "\x1bs": "alt+s", "\r": "enter", "\n": "ctrl+j"}
    for sequence, key in keys.items():
        assert [event.key for event in XTermParser().feed(sequence)] == [key]


def test_every_default_key_with_alt_and_a_letter_is_one_that_the_terminal_sends() -> None:
    keys = [key for action in ACTIONS for key in action.keys.split(",") if key.startswith("alt+")]
    known = {key.value for key in AltKey} | {"alt+up", "alt+down"}
    assert set(keys) <= known
