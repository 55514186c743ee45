"""Approvals show exact bytes: what would be invisible, reordered, look-alike or out of sight is spelt out.

Everything added stands between ``⟨`` and ``⟩``, and a ``⟨`` in the text is spelt out itself, so
two different texts never look the same after ``reveal``.
"""

from __future__ import annotations

import re
import unicodedata

#: Longest run of spaces or tabs shown as it is; at the start of a line (indentation) more is usual.
MAX_SPACES = 8
MAX_INDENT = 40
#: Most empty lines shown as they are.
MAX_BLANK_LINES = 3
#: Most combining marks on one letter before they are counted instead of drawn.
MAX_MARKS = 4

#: Letters of other scripts that are drawn like a Latin letter in common fonts.
LOOK_ALIKES: dict[str, str] = {
    **dict(zip("аеорсухіјѕԁһӏԛԝгѵьҽ", "aeopcyxijsdhlqwrvbe", strict=True)),
    **dict(zip("АВЕЅІЈКМНОРСТУХҮԚԜ", "ABESIJKMHOPCTYXYQW", strict=True)),
    **dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX", strict=True)),
    **dict(zip("αινορυχγ", "aivopuxy", strict=True)),
    **dict(zip("օոսհցԍ", "onuhgG", strict=True)),
    **dict(zip("ᎪᏴᏟᎬᎻᎫᏦᏞᎷᏢᏒᏚᎢᏙᏔᏃ", "ABCEHJKLMPRSTVWZ", strict=True)),
    **dict(zip("ıɑɡɩ∕⁄։ꓲꓳ", "iagi//:IO", strict=True)),
}

_WORD = re.compile(r"[\w.\-]+")
_SPACE_RUN = re.compile(r"[ \t]{2,}")
_BLANK_LINES = re.compile(rf"\n{{{MAX_BLANK_LINES + 2},}}")
_HOST = re.compile(r"(?i)\b[a-z][a-z0-9+.\-]*://(?:[^\s/?#@]*@)?([^\s/?#:@]+)")


def reveal(text: str) -> str:
    """The text with everything that could deceive an eye made visible.

    Args:
        text: exact text of a call, command or file.
    """
    if text.isascii() and not _needs_work(text):
        return text
    marked = _mark_words(text)
    out: list[str] = []
    marks = 0
    for char, note in marked:
        if unicodedata.category(char) in ("Mn", "Me"):
            marks += 1
            if marks > MAX_MARKS:
                out.append(_spelt(char))
                continue
        else:
            marks = 0
        out.append((_spelt(char) if _hidden(char) else char) + note)
    return _spaces("".join(out))


def is_deceptive(text: str) -> bool:
    """Whether ``reveal`` would change the text."""
    return reveal(text) != text


def _needs_work(text: str) -> bool:
    return bool(
        re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text) or _SPACE_RUN.search(text) or _BLANK_LINES.search(text)
    )


def _hidden(char: str) -> bool:
    """Whether the character shows nothing, or something other than itself."""
    if char in "\n\t ":
        return False
    if char == "⟨":
        return True
    category = unicodedata.category(char)
    if category in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"):
        return True
    code = ord(char)
    return (
        0xFE00 <= code <= 0xFE0F
        or 0xE0100 <= code <= 0xE01EF
        or code
        in (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2800, 0x3164, 0xFFA0)
    )


def _spelt(char: str) -> str:
    name = unicodedata.name(char, "")
    return f"⟨U+{ord(char):04X}{' ' + name if name else ''}⟩"


def _script(char: str) -> str:
    """Name of the alphabet that a letter belongs to, from its Unicode name."""
    return unicodedata.name(char, "?").split(" ")[0].removesuffix("-CAPITAL")


def _mark_words(text: str) -> list[tuple[str, str]]:
    """Every character with the note that follows it (usually none)."""
    notes = [""] * len(text)
    if not text.isascii():
        for match in _WORD.finditer(text):
            word = match.group()
            if not word.isascii():
                _mark_word(word, match.start(), notes)
        for match in _HOST.finditer(text):
            host = match.group(1)
            if not host.isascii():
                notes[match.end(1) - 1] += f"⟨this host is {_ascii_host(host)}⟩"
    return list(zip(text, notes, strict=True))


def _mark_word(word: str, start: int, notes: list[str]) -> None:
    letters = [(index, char) for index, char in enumerate(word) if char.isalpha()]
    latin = any(char.isascii() for _, char in letters)
    for index, char in letters:
        if char.isascii():
            continue
        plain = unicodedata.normalize("NFKC", char)
        if plain != char and plain.isascii():
            notes[start + index] = f"⟨U+{ord(char):04X}, not {plain}⟩"
        elif latin and char in LOOK_ALIKES:
            notes[start + index] = f"⟨U+{ord(char):04X} {_script(char)}, not {LOOK_ALIKES[char]}⟩"
        elif latin and _script(char) in ("CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE"):
            notes[start + index] = f"⟨U+{ord(char):04X} {_script(char)}⟩"
    if not latin and len(letters) > 1 and all(char in LOOK_ALIKES for _, char in letters):
        last = letters[-1][0]
        looks = "".join(LOOK_ALIKES[char] for _, char in letters)
        notes[start + last] += f"⟨{_script(letters[0][1])} letters that look like {looks}⟩"


def _ascii_host(host: str) -> str:
    """A host name as the network sees it."""
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        return "not a valid name"


def _spaces(text: str) -> str:
    """Count runs of spaces and of empty lines that would push what follows out of sight."""

    def run(match: re.Match[str]) -> str:
        length = len(match.group())
        indent = match.start() == 0 or text[match.start() - 1] == "\n"
        if length <= (MAX_INDENT if indent else MAX_SPACES):
            return match.group()
        tabs = match.group().count("\t")
        if tabs == 0:
            return f"⟨{length} spaces⟩"
        if tabs == length:
            return f"⟨{length} tabs⟩"
        return "⟨" + match.group().replace("\t", "→").replace(" ", "·") + "⟩"

    text = _SPACE_RUN.sub(run, text)
    return _BLANK_LINES.sub(lambda match: f"\n⟨{len(match.group()) - 1} empty lines⟩\n", text)
