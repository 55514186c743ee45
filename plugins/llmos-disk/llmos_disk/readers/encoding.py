"""Bytes to text: byte order marks, UTF-8, then a guess."""

from __future__ import annotations

import codecs

from llmos_disk.blocks import clean_text

_MARKS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

_TEXT_CONTROLS = frozenset(b"\t\n\r\f\x1b\x08")
_SAMPLE = 64 * 1024


def _wide_guess(sample: bytes) -> str:
    """UTF-16 without a mark, told by where its zero bytes stand; empty when it is not that."""
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    half = max(len(sample) // 2, 1)
    if odd > 0.4 * half and even < 0.05 * half:
        return "utf-16-le"
    if even > 0.4 * half and odd < 0.05 * half:
        return "utf-16-be"
    return ""


def looks_binary(data: bytes) -> bool:
    """True when the bytes are no text in any encoding that ``decode`` knows."""
    sample = data[:_SAMPLE]
    if any(sample.startswith(mark) for mark, _ in _MARKS):
        return False
    if b"\0" in sample:
        return not _wide_guess(sample[: len(sample) // 2 * 2])
    controls = sum(1 for byte in sample if byte < 32 and byte not in _TEXT_CONTROLS)
    return controls > len(sample) // 20


def encoding_of(data: bytes) -> str:
    """Name of the most likely encoding."""
    for mark, name in _MARKS:
        if data.startswith(mark):
            return name
    sample = data[:_SAMPLE]
    if b"\0" in sample:
        return _wide_guess(sample[: len(sample) // 2 * 2]) or "latin-1"
    try:
        data.decode("utf-8")
        return "utf-8"
    except UnicodeDecodeError as error:
        # one damaged letter in a long UTF-8 text is no reason to read it as something else
        head = data[: error.start]
        if len(head) > 200 and not head.isascii():
            return "utf-8"
    from charset_normalizer import from_bytes

    best = from_bytes(sample).best()
    return best.encoding if best is not None else "latin-1"


def decode(data: bytes) -> str:
    """The text of a file, cleaned; what cannot be decoded becomes U+FFFD."""
    try:
        text = data.decode(encoding_of(data), errors="replace")
    except LookupError:
        text = data.decode("latin-1")
    return clean_text(text.removeprefix("\ufeff"))
