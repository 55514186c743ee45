"""Clean text: what a model, file, page or tool wrote may not steer the terminal or hide anything.

Removed everywhere: terminal escape sequences (7-bit and 8-bit, with their payload, so also
hyperlinks and clipboard writes), control characters, bidi controls, tag characters, characters
that only pad or hide. Joiners, word separators and variation selectors are removed except where
the writing around them needs them (``scripts.py``), and then one at a time.

``clean`` is idempotent: whether a conditional character stays depends only on what is kept
before it and on the next character that is kept in any case.
"""

from __future__ import annotations

import json
import re
import unicodedata

from llmos.guard.scripts import (
    HANGUL_JAMO,
    IDEOGRAPHS,
    JOINING,
    KHMER,
    MONGOLIAN,
    PICTURES,
    SHORTHAND,
    UNSPACED,
    VARIANT_BASES,
)

#: Longest payload that is taken for part of an escape sequence; beyond it only the start is removed.
_PAYLOAD = 4_096

_OPENER = r"(?:\x1b[\]PX^_]|[\x90\x98\x9d\x9e\x9f])"
_BODY = rf"[^\x1b\x07\x90\x98\x9c-\x9f]{{0,{_PAYLOAD}}}"

#: Escape sequences. Strings (OSC, DCS, SOS, PM, APC) go with their payload when they end; a
#: string that never ends loses its start, and the payload stays as harmless text.
_ESCAPES = re.compile(
    rf"{_OPENER}{_BODY}(?:\x07|\x1b\\|\x9c)"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|\x1b[\]PX^_]"
    r"|\x1b[ -/]*[0-~]?"
)

_NEWLINES = re.compile("\r\n|[\r\n\x0b\x0c\x85\u2028\u2029]")

#: Never part of ordinary text.
_HIDDEN = re.compile(
    "["
    "\x00-\x08\x0e-\x1f\x7f-\x9f"  # controls that the newline rule left
    "\u00ad"  # soft hyphen
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidi controls
    "\u2060-\u2065\u206a-\u206f"  # word joiner, invisible operators, deprecated formats
    "\u3164\uffa0"  # fillers
    "\ufeff\ufff0-\ufffb\ufdd0-\ufdef"
    "\U0001d173-\U0001d17a"  # musical formats
    "\U000e0000-\U000e001f\U000e0080-\U000e00ff\U000e01f0-\U000e0fff"
    + "".join(f"{chr(plane * 0x10000 + 0xFFFE)}{chr(plane * 0x10000 + 0xFFFF)}" for plane in range(17))
    + "]+"
)

_SURROGATES = re.compile("[\ud800-\udfff]")

#: Kept only where the writing around them needs them.
_CONDITIONAL = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180e\u180f\u200b\u200c\u200d"
    + "".join(map(chr, range(0x1BCA0, 0x1BCA4)))
    + "".join(map(chr, range(0xFE00, 0xFE10)))
    + "".join(map(chr, range(0xE0020, 0xE0080)))
    + "".join(map(chr, range(0xE0100, 0xE01F0)))
)

_CONDITIONAL_PATTERN = re.compile("[" + "".join(sorted(_CONDITIONAL)) + "]")

#: Any character that could be touched, in tables that the regular expression engine is quick with:
#: the common plane, then a single range, and only where that is met the scattered rest.
_SUSPECT_COMMON = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff]"
)
_ASTRAL = re.compile("[\U0001bca0-\U0010ffff]")
_SUSPECT_ASTRAL = re.compile(
    "[\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    + "".join(f"{chr(plane * 0x10000 + 0xFFFE)}{chr(plane * 0x10000 + 0xFFFF)}" for plane in range(1, 17))
    + "]"
)


def _suspect(text: str) -> bool:
    """Whether anything in the text could be touched; else it is returned as it is."""
    if _SUSPECT_COMMON.search(text):
        return True
    return not text.isascii() and bool(_ASTRAL.search(text) and _SUSPECT_ASTRAL.search(text))


_FLAG = "\U0001f3f4"
_TAG_END = "\U000e007f"


def _tags(region: str) -> str:
    return "".join(chr(0xE0000 + ord(letter)) for letter in region) + _TAG_END


#: The only tag sequences in general use: the flags of England, Scotland and Wales.
_FLAG_TAGS = tuple(_tags(region) for region in ("gbeng", "gbsct", "gbwls"))


def clean(text: str) -> str:
    r"""Text without terminal escapes and without characters that hide or reorder.

    Line ends become ``\n``; tabs stay. Ordinary text of every script comes back unchanged.

    Args:
        text: anything, also with unpaired surrogates.

    Returns:
        The cleaned text; ``clean(clean(x)) == clean(x)``.
    """
    if not _suspect(text):
        return text
    text = _ESCAPES.sub("", text)
    text = _NEWLINES.sub("\n", text)
    text = _SURROGATES.sub("\ufffd", text)
    text = _HIDDEN.sub("", text)
    if _CONDITIONAL_PATTERN.search(text):
        text = _keep_needed(text)
    return text


def escape_json(text: str) -> str:
    """JSON text that means the same and holds nothing that could steer or hide: such characters are escaped.

    Args:
        text: the output of ``json.dumps(…, ensure_ascii=False)``.
    """
    if not _suspect(text):
        return text
    for pattern in (_SUSPECT_COMMON, _SUSPECT_ASTRAL):
        text = pattern.sub(lambda found: _escaped(found.group()), text)
    return text


def _escaped(char: str) -> str:
    return json.dumps(char)[1:-1] if char > "\x7f" or char < " " else f"\\u{ord(char):04x}"


def _keep_needed(text: str) -> str:
    """Decide on every conditional character from what is kept around it."""
    kept: list[str] = []
    following = _next_plain(text)
    position, length = 0, len(text)
    while position < length:
        char = text[position]
        if char not in _CONDITIONAL:
            kept.append(char)
            if char == _FLAG:
                for tags in _FLAG_TAGS:
                    if text.startswith(tags, position + 1):
                        kept.append(tags)
                        position += len(tags)
                        break
        elif _needed(char, kept, following[position]):
            kept.append(char)
        position += 1
    return "".join(kept)


def _next_plain(text: str) -> list[str]:
    """For each position the next unconditional character after it, or empty at the end."""
    following = [""] * len(text)
    plain = ""
    for position in range(len(text) - 1, -1, -1):
        following[position] = plain
        if text[position] not in _CONDITIONAL:
            plain = text[position]
    return following


def _needed(char: str, kept: list[str], after: str) -> bool:
    """Whether a conditional character is part of ordinary writing at this place."""
    last = kept[-1][-1] if kept else ""
    code = ord(char)
    before = ord(last) if last else -1
    nxt = ord(after) if after else -1
    if 0xFE00 <= code <= 0xFE0F:
        if code >= 0xFE0E:
            return before in PICTURES or (last in tuple("0123456789#*") and after == "\u20e3")
        return before in VARIANT_BASES
    if 0xE0100 <= code <= 0xE01EF:
        return before in IDEOGRAPHS
    if last in _CONDITIONAL and not (char == "\u200d" and last in ("\ufe0f", "\ufe0e", _TAG_END)):
        # Two invisible characters in a row write nothing that one does not; Hangul fillers may pair.
        return (last, char) == ("\u115f", "\u1160")
    if char == "\u200d":
        if before in JOINING or nxt in JOINING:
            return True
        tied = before in PICTURES or last in ("\ufe0f", "\ufe0e", _TAG_END)
        return tied and nxt in PICTURES
    if char == "\u200c":
        return before in JOINING
    if char == "\u200b":
        return before in UNSPACED and nxt in UNSPACED
    if char == "\u034f":
        return bool(last) and bool(after) and unicodedata.combining(after) > 0
    if char in "\u115f\u1160":
        return before in HANGUL_JAMO or nxt in HANGUL_JAMO
    if char in "\u17b4\u17b5":
        return before in KHMER
    if char in "\u180b\u180c\u180d\u180e\u180f":
        return before in MONGOLIAN
    if 0x1BCA0 <= code <= 0x1BCA3:
        return before in SHORTHAND
    return False  # tag characters outside a flag


#: A sequence at the end of a piece that the next piece may go on with.
_PENDING = re.compile(rf"(?:{_OPENER}{_BODY}\x1b?|(?:\x1b\[|\x9b)[0-?]*[ -/]*|\x1b[ -/]*)\Z")


class StreamCleaner:
    """Cleans text that comes in pieces, exactly as if it had come whole.

    An escape sequence, a line end or a joined emoji may be cut by the end of a piece, so what
    the next piece could still change is held back until then, or until ``flush``.
    """

    def __init__(self) -> None:
        self._raw = ""  # an escape sequence that has not ended
        self._line = ""  # a carriage return whose line feed may come
        self._before = ""  # what was given out last, from its last unconditional character on
        self._held = ""  # conditional characters that wait for what follows them

    @property
    def settled(self) -> bool:
        """Whether nothing is held back."""
        return not (self._raw or self._line or self._held)

    def feed(self, piece: str) -> str:
        """The cleaned text that is now certain.

        Args:
            piece: the next part of the raw text.
        """
        if not piece:
            return ""
        plain = (piece.isascii() and piece.isprintable()) or not _suspect(piece)
        if plain and not (self._raw or self._line or self._held):
            self._before = piece[-1]
            return piece
        raw = self._raw + piece
        pending = _PENDING.search(raw)
        cut = pending.start() if pending else len(raw)
        self._raw = raw[cut:]
        return self._settle(raw[:cut], last=False)

    def flush(self) -> str:
        """The rest, at the end of the text."""
        raw, self._raw = self._raw, ""
        out = self._settle(raw, last=True)
        self._before = ""
        return out

    def _settle(self, raw: str, *, last: bool) -> str:
        """Clean text whose escape sequences are whole; hold back what is not yet decided."""
        text = self._line + _ESCAPES.sub("", raw)
        self._line = ""
        if text.endswith("\r") and not last:
            text, self._line = text[:-1], "\r"
        text = self._held + _HIDDEN.sub("", _SURROGATES.sub("\ufffd", _NEWLINES.sub("\n", text)))
        self._held = ""
        if not last:
            end = len(text)
            while end and text[end - 1] in _CONDITIONAL:
                end -= 1
            text, self._held = text[:end], text[end:]
        out = _keep_needed(self._before + text)[len(self._before) :]
        for index in range(len(out) - 1, -1, -1):
            if out[index] not in _CONDITIONAL:
                self._before = out[index:]
                break
        return out
