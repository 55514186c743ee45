from __future__ import annotations

from textual._xterm_parser import XTermParser

from llmos.tui.terminal_keys import install


def test_alt_enter_and_alt_digits_are_keys_of_their_own() -> None:
    install()
    for sequence, key in (("\x1b\r", "alt+enter"), ("\x1b3", "alt+3"), ("\r", "enter"), ("\n", "ctrl+j")):
        assert [event.key for event in XTermParser().feed(sequence)] == [key]
