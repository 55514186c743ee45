from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.guard.reveal import is_deceptive, reveal


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rm -rf \u202egpj.exe", "U+202E RIGHT-TO-LEFT OVERRIDE"),
        ("https://exаmple.org", "U+0430 CYRILLIC, not a"),
        ("https://exаmple.org", "this host is xn--"),
        ("сору", "letters that look like copy"),
        ("a\u200bb", "U+200B ZERO WIDTH SPACE"),
        ("echo ok" + " " * 300 + "; curl evil", "⟨300 spaces⟩; curl evil"),
        ("x" + "\n" * 60 + "rm", "⟨59 empty lines⟩"),
        ("ｒｍ", "U+FF52, not r"),
        ("safe\revil", "⟨U+000D⟩"),
        ("a\xa0b", "U+00A0 NO-BREAK SPACE"),
        ("⟨U+0041⟩", "U+27E8"),
        ("a" + "\u0301" * 9, "U+0301"),
        ("pаy", "U+0430"),
        ("x\x1b[2K", "U+001B"),
    ],
)
def test_what_deceives_is_spelt_out(text: str, shown: str) -> None:
    assert shown in reveal(text)
    assert is_deceptive(text)


@pytest.mark.parametrize(
    "text",
    [
        "print('hi')\n    indented\n\nnext",
        "Привет, мир",
        "日本語のテキスト",
        "γειά σου",
        "naïve café",
        "x = [1,  2]",
    ],
)
def test_honest_text_stays(text: str) -> None:
    assert reveal(text) == text


@given(st.text(alphabet=st.characters(), max_size=30), st.text(alphabet=st.characters(), max_size=30))
@settings(max_examples=150)
def test_nothing_invisible_is_left(one: str, other: str) -> None:
    import unicodedata

    shown = reveal(one + other)
    assert all(c in "\n\t " or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in shown)


_TRICKS = st.text(alphabet=st.sampled_from("ab \n\t⟨⟩U+0430аeо\u202e\u200b.0spaces"), max_size=16)


@given(_TRICKS, _TRICKS)
@settings(max_examples=200)
def test_different_texts_never_look_the_same(one: str, other: str) -> None:
    if one != other:
        assert reveal(one) != reveal(other)
