"""Bytes to text, piece by piece: tokens may end in the middle of a letter."""

from __future__ import annotations

import codecs


class Utf8Stream:
    """Decoder that holds an unfinished letter back and turns broken bytes into U+FFFD."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, piece: bytes) -> str:
        """Text that is complete after these bytes; may be empty."""
        return self._decoder.decode(piece)

    def end(self) -> str:
        """What was held back: U+FFFD for an unfinished letter, else nothing."""
        return self._decoder.decode(b"", final=True)
