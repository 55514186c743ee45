"""The data funnel: filters by name, deduplication, redaction, and an account that adds up."""

import json
import lzma
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.foundry.funnel.dedup import ExactDuplicates, NearDuplicates
from llmos.foundry.funnel.filters import RULES, blocked_host
from llmos.foundry.funnel.funnel import Funnel, is_held_out
from llmos.foundry.funnel.pii import redact
from llmos.foundry.funnel.sources import Document, read_folder, row_document
from tests.helpers.require import require

PROSE = (
    "The old mill stands by the river and it has been there for a very long time, said the woman. "
    "Every morning the children walk past it with their dog, and in the evening they come back to have a rest. "
    "That is what the people of the town like to do when the weather is fine and the days are long."
)


def test_rules_name_their_reason() -> None:
    rules = dict(RULES)
    assert rules["gopher_length"]("too short") == "gopher_word_count"
    assert rules["gopher_symbols"]("# a # b # c #") == "gopher_symbol_ratio"
    assert rules["gopher_bullets"]("\n".join(["- item"] * 8)) == "gopher_bullets"
    assert rules["gopher_alphabetic"]("1 2 3 4 5 6 7 8") == "gopher_alphabetic"
    assert rules["gopher_stop_words"]("wort " * 60) == "gopher_stop_words"
    assert rules["gopher_repetition"]("same line here\n" * 12) == "gopher_repeated_lines"
    assert rules["c4_markers"]("Lorem ipsum dolor sit amet") == "c4_lorem_ipsum"
    assert rules["c4_braces"]("{}{}{}{}{}{}{}{}{}{}") == "c4_curly_bracket"


def test_good_prose_passes_every_rule() -> None:
    assert [name for name, rule in RULES if rule(PROSE)] == []


def test_blocked_host_covers_subdomains_only() -> None:
    assert blocked_host("https://www.content-farm.test/a") == "host_blocked"
    assert blocked_host("https://not-content-farm.test/a") is None
    assert blocked_host("") is None


def test_exact_duplicates_ignore_case_and_spacing() -> None:
    seen = ExactDuplicates()
    assert not seen.seen("One  two three")
    assert seen.seen("one two\nTHREE")
    assert not seen.seen("one two four")


def test_near_duplicates_are_found_and_different_texts_kept() -> None:
    near = NearDuplicates()
    assert not near.seen(PROSE)
    assert near.seen(PROSE.replace("dog", "cat"))
    assert not near.seen(" ".join(reversed(PROSE.split())))


def test_redaction_by_kind() -> None:
    text, found = redact(
        "Write to a.b@mail.example.org or call 555-123-4567; card 4111 1111 1111 1111, host 10.0.0.1."
    )
    assert found == {"EMAIL": 1, "PHONE": 1, "CARD": 1, "IP": 1}
    assert "mail.example" not in text and "4111" not in text and "[PHONE]" in text
    assert redact("the number 1234567890123456 is no card")[1] == {}


@given(st.text(max_size=200))
def test_redaction_is_stable(text: str) -> None:
    once, _ = redact(text)
    assert redact(once)[0] == once


def test_rows_of_every_known_shape_become_text() -> None:
    rows = [
        {"text": "plain"},
        {"words": ["able"], "def": "having power", "pos": "adj", "ex": ["able to swim"]},
        {"question": "2 and 3?", "answer": "2+3=<<2+3=5>>5\n#### 5"},
        {"turns": [{"r": "U", "t": "tea please"}, {"r": "A", "t": "done"}]},
        {"cmd": "ls", "desc": "List files.", "examples": [["List all", "ls -a"]]},
        {"kind": "definition", "q": "atom", "a": "smallest part"},
    ]
    texts = [row_document("s", row) for row in rows]
    assert all(t is not None and t.text for t in texts)
    worked = texts[2]
    assert worked is not None and "<<" not in worked.text and "The answer is 5" in worked.text
    assert row_document("s", {"other": 1}) is None


def test_account_adds_up_and_says_what_was_idle(tmp_path: Path) -> None:
    require("trafilatura")
    require("py3langid")
    rows = [
        {"text": PROSE},
        {"text": PROSE},
        {"text": "x"},
        {"text": "mail me@here.example.org about the old house in the town"},
    ]
    with lzma.open(tmp_path / "a.jsonl.xz", "wt") as out:
        out.write("\n".join(json.dumps(r) for r in rows) + "\nnot json\n")
    page = f"<html><body><nav>menu</nav><article><p>{PROSE[::-1].title()}</p><p>{PROSE} And this is the end.</p></article></body></html>"
    (tmp_path / "b.html").write_text(page)
    (tmp_path / "README.md").write_text("not read")
    funnel = Funnel()
    kept = list(funnel.run(read_folder(tmp_path)))
    report = funnel.report()
    stages = {s["name"]: s for s in report["stages"]}
    assert stages["exact"]["reasons"] == {"exact_duplicate": 1}
    assert stages["gopher_length"]["reasons"] == {"gopher_word_count": 1}
    assert stages["extract"]["reasons"] == {"empty": 1}
    assert stages["host"]["idle"] and not stages["extract"]["idle"]
    assert report["redacted"] == {"EMAIL": 1}
    for before, after in zip(report["stages"], report["stages"][1:], strict=False):
        assert after["documents_in"] == before["documents_out"], (before["name"], after["name"])
    assert len(kept) == report["stages"][-1]["documents_out"]
    assert not any("<p>" in p.text or "menu" in p.text for p in kept)


def test_missing_and_empty_folders_are_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no corpus folder at"):
        next(read_folder(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match="put the corpus there"):
        next(read_folder(tmp_path))


def test_held_out_share_depends_on_the_text_alone() -> None:
    share = sum(is_held_out(f"text number {n}", 0.1) for n in range(3000)) / 3000
    assert 0.07 < share < 0.13
    assert is_held_out("abc") == is_held_out("abc")


def test_blocked_documents_are_counted_first() -> None:
    funnel = Funnel()
    assert list(funnel.run([Document("s", PROSE, "http://content-farm.test/x")])) == []
    assert funnel.stages["host"].reasons == {"host_blocked": 1}
