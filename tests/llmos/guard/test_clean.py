from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.guard.clean import StreamCleaner, clean, escape_json

#: Ordinary text in many scripts, among it all that needs invisible characters.
ORDINARY = [
    "Plain English, with a tab\tand\nlines.",
    "Größe, naïve, Ærøskøbing, Đorđe, Łódź, İstanbul",
    "Съешь ещё этих мягких французских булок",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία",
    "هذا نص عربي عادي مع تشكيل: مُحَمَّد",
    "می‌خواهم کتاب‌ها را بخوانم",  # Persian with zero-width non-joiner
    "تاریخ ۱۴۰۲ ه‍",  # joiner at the end of a word
    "עברית עם נִקּוּד",
    "ܫܠܡܐ",
    "हिन्दी में क्‍ष और क्‌ष",
    "বাংলা র‍্যাব",
    "ਪੰਜਾਬੀ ગુજરાતી தமிழ் తెలుగు ಕನ್ನಡ",
    "മലയാളം അവന്‍",
    "ශ්‍රී ලංකා",
    "ภาษาไทย​ไม่มีช่องว่าง",
    "ភាសា​ខ្មែរ",
    "မြန်မာ​ဘာသာ",
    "བོད་སྐད།",
    "ᠮᠣᠩᠭᠣᠯ ᠤᠨ ᠠ᠋",
    "ქართული հայերեն አማርኛ ᏣᎳᎩ",
    "日本語、漢字と仮名。葛󠄀城市",
    "中文，简体與繁體",
    "한국어와 옛 ᄒᆞᆫ글",
    "👩‍👩‍👧‍👦 👩🏽‍💻 ❤️‍🔥 🏳️‍🌈 1️⃣ ☺️ ©️ 🇩🇪",
    "🏴󠁧󠁢󠁥󠁮󠁧󠁿 and 🏴󠁧󠁢󠁳󠁣󠁴󠁿",
    "𓀀𓀁 𝒳² + √2 ≤ ∑",
    "e\u0301 with a combining accent",
]

HIDDEN = {
    "colour": ("a\x1b[31mred\x1b[0mb", "aredb"),
    "title": ("a\x1b]0;title\x07b", "ab"),
    "clipboard": ("a\x1b]52;c;ZXZpbA==\x07b", "ab"),
    "hyperlink": ("\x1b]8;;https://evil.example\x1b\\here\x1b]8;;\x1b\\", "here"),
    "eight bit": ("a\x9b2Jb\x9d52;c;eA==\x9cc", "abc"),
    "device control": ("a\x1bP+q544e\x1b\\b", "ab"),
    "open string": ("a\x1b]52;c;eA", "a52;c;eA"),
    "backspace": ("rm\x08\x08ls", "rmls"),
    "overprint": ("safe\revil", "safe\nevil"),
    "delete": ("a\x7fb", "ab"),
    "override": ("a\u202eb\u202c", "ab"),
    "isolate": ("a\u2066b\u2069", "ab"),
    "marks": ("a\u200e\u200f\u061cb", "ab"),
    "zero width in Latin": ("a\u200bb\u200cc\u200dd\u2060e\ufefff", "abcdef"),
    "tags": ("a" + "".join(chr(0xE0000 + ord(c)) for c in "run it") + "b", "ab"),
    "tags after a flag": ("🏴" + "".join(chr(0xE0000 + ord(c)) for c in "evil"), "🏴"),
    "selectors as bytes": ("a" + "".join(chr(0xE0100 + n) for n in range(40)), "a"),
    "selectors on a picture": ("😀" + "".join(chr(0xFE00 + n) for n in range(16)), "😀\ufe0e"),
    "filler": ("a\u3164b\uffa0c", "abc"),
    "soft hyphen": ("ig\u00adnore", "ignore"),
    "runs of joiners": ("म\u200d\u200c\u200d\u200c", "म\u200d"),
    "invisible operators": ("f\u2061(x)\u2062y", "f(x)y"),
    "surrogate": ("a\ud800b", "a\ufffdb"),
    "line separators": ("a\u2028b\u2029c\x85d\r\ne", "a\nb\nc\nd\ne"),
}


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_stays(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize("name", HIDDEN)
def test_what_hides_goes(name: str) -> None:
    dirty, expected = HIDDEN[name]
    assert clean(dirty) == expected


def test_every_visible_character_of_every_script_stays() -> None:
    kept = [
        chr(code)
        for code in range(0x110000)
        if unicodedata.category(chr(code))[0] in "LMNPS" and code not in range(0xFE00, 0xFE10)
    ]
    text = "".join(c for c in kept if c not in _INVISIBLE_LETTERS and not 0xE0100 <= ord(c) <= 0xE01EF)
    assert clean(text) == text
    assert len(text) > 130_000


#: Letters and marks by category that draw nothing; their own rules are tested above.
_INVISIBLE_LETTERS = set("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0")

_ANY = st.text(alphabet=st.characters(), max_size=60)
_NASTY = st.text(
    alphabet=st.sampled_from(
        "ab\r\n\x1b[]m;8\x07\\PX\x9d\x9b\x9c\u200d\u200c\u200b\ufe0f\ufe0e\ufe00👩🚀🏴\U000e0067\U000e0062\U000e007f"
        "\u202eम१क्1#\u20e3\u180b\u1820葛\U000e0100\u115f\u1160\u1100\u034f\u0301\ud800กข\u17b4\u1780"
    ),
    max_size=24,
)
_WHOLE = st.lists(st.sampled_from([*ORDINARY, *(dirty for dirty, _ in HIDDEN.values())]), max_size=3).map(
    "".join
)
_TEXT = st.one_of(_ANY, _NASTY, _WHOLE)


@given(_TEXT)
@settings(max_examples=200)
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@given(_TEXT)
@settings(max_examples=150)
def test_nothing_that_steers_a_terminal_is_left(text: str) -> None:
    cleaned = clean(text)
    for char in cleaned:
        assert char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cs")
        assert (
            char not in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c\ufeff\u2060"
        )


@given(_TEXT, st.lists(st.integers(1, 7), min_size=1, max_size=8))
@settings(max_examples=200)
def test_a_stream_gives_what_the_whole_gives(text: str, steps: list[int]) -> None:
    stream, out, place, turn = StreamCleaner(), "", 0, 0
    while place < len(text):
        step = steps[turn % len(steps)]
        out += stream.feed(text[place : place + step])
        place, turn = place + step, turn + 1
    assert out + stream.flush() == clean(text)


def test_a_stream_shows_plain_text_at_once() -> None:
    stream = StreamCleaner()
    assert [stream.feed(word) for word in ("Hello ", "wor", "ld")] == ["Hello ", "wor", "ld"]
    assert stream.feed("\x1b[3") == ""
    assert stream.feed("1mred") == "red"


@given(_TEXT)
def test_json_is_escaped_and_means_the_same(text: str) -> None:
    shown = escape_json(json.dumps({"a": [text]}, ensure_ascii=False, indent=2))
    assert json.loads(shown) == {"a": [text]}
    assert not any(
        unicodedata.category(c) in ("Cc", "Cs") or c in "\u202e\u200b" for c in shown.replace("\n", "")
    )


@given(st.sampled_from(["\x9d", "\x1b]", "\x1b", "\x1b[", "\u200d", "\r", "\x1bP\x1b"]), st.integers(1, 400))
def test_long_runs_stay_cheap(unit: str, times: int) -> None:
    text = unit * (times * 100)
    assert len(clean(text)) <= len(text)
