"""Bytes to text, piece by piece: tokens may end in the middle of a letter."""

from __future__ import annotations

import codecs


class Utf8Stream:
    """Decoder that holds an unfinished letter back and turns broken bytes into U+FFFD."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._holds = False

    def feed(self, piece: bytes) -> str:
        """Text that is complete after these bytes; may be empty."""
        if not self._holds and piece.isascii():
            return piece.decode("ascii")
        text = self._decoder.decode(piece)
        self._holds = bool(self._decoder.getstate()[0])
        return text

    def end(self) -> str:
        """What was held back: U+FFFD for an unfinished letter, else nothing."""
        return self._decoder.decode(b"", final=True)
