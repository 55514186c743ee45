"""Passages: nothing is lost, none is too long, headings stay with their text."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from llmos_web.addresses import clean_url, inside, same_site
from llmos_web.extract import MAX_PASSAGE, extract, passages

TEXT = "# A\n\nfirst\n\n## B\n\nsecond\n\n# C\n\nthird"


def test_headings_stay_with_their_text() -> None:
    assert passages(TEXT) == [("A", "first"), ("A > B", "second"), ("C", "third")]


def test_text_is_read_without_the_backslashes_of_markdown() -> None:
    sentence = "The list [1] names 2*3 and snake_case, in a sentence that is long enough to be kept."
    page = f"<html><body><article><p>{sentence}</p><p>{sentence}</p></article></body></html>"
    assert sentence in extract(page.encode(), "text/html", "https://a.example/").text


def test_long_paragraphs_are_cut_between_sentences() -> None:
    text = "This is one sentence of the paragraph. " * 60
    parts = passages(text)
    assert len(parts) > 3
    assert all(part.endswith(".") and len(part) <= MAX_PASSAGE for _, part in parts)


@given(st.text(st.sampled_from("ab. \n#"), max_size=3000))
def test_no_word_is_lost(text: str) -> None:
    parts = passages(text, most=10_000)
    assert all(part.strip() for _, part in parts)
    words = [word for word in text.replace("#", " ").split()]
    kept = " ".join(f"{heading} {part}" for heading, part in parts).replace("#", " ").replace(">", " ")
    joined = "".join(kept.split())
    # A heading with nothing under it is dropped; everything else is there, in order.
    if "#" not in text:
        assert joined == "".join(words)


@given(st.text(max_size=5000))
def test_passages_are_short(text: str) -> None:
    assert all(len(part) <= MAX_PASSAGE + 4 for _, part in passages(text))


@given(st.binary(max_size=400))
@settings(deadline=None, max_examples=60)
def test_any_bytes_give_text_or_a_sentence(body: bytes) -> None:
    from llmos.types import UserError

    for kind in ("text/html", "text/plain", "application/json", "text/plain; charset=nonsense"):
        try:
            assert extract(body, kind, "https://a.example/").text
        except UserError as error:
            assert "\n" not in str(error)


@given(st.text(max_size=80))
def test_clean_addresses_are_plain(text: str) -> None:
    url = clean_url(text)
    if url:
        assert url.startswith(("http://", "https://"))
        assert clean_url(url) == url
        assert not any(character.isspace() for character in url)


def test_inside_and_same_site() -> None:
    assert inside("LOCALHOST.") and inside("printer.local") and inside("10.1.2.3") and inside("::1")
    assert not inside("example.com") and not inside("8.8.8.8")
    assert same_site("html.duckduckgo.com", "duckduckgo.com")
    assert not same_site("html.duckduckgo.com", "duckduckgo.com.evil.example")
