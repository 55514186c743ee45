"""From shown text back to the tokens that it was written in."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from llmos.conversation.splitting import Splitter
from llmos.conversation.written import Shown, Written
from llmos.kernel.families import family_named
from llmos.types import ThinkingDelta

#: Ordinary letters, letters that are never shown, halves of marks and marks.
PIECES = st.sampled_from(
    ["a", "so ", "\n", "\x07", "\x1b[1m", "\r", "\u200b", "e\u0301", "<", "</th", "{", "}", "\ufffd", "5 < 6"]
)
CLOSING = "\n</think>\n"


def write(pieces: Sequence[str]) -> tuple[Written, list[str]]:
    """An answer of these pieces, one token each, and what had been shown of its thoughts after each."""
    parse = family_named("hermes").parse
    splitter, shown, written = Splitter(parse), Shown(), Written(())
    thoughts, seen = "", []
    for number, piece in enumerate(pieces):
        deltas = shown.feed(splitter.feed(piece))
        written.add(piece, (number,), deltas, settled=splitter.settled and shown.settled)
        thoughts += "".join(delta.text for delta in deltas if isinstance(delta, ThinkingDelta))
        seen.append(thoughts)
    return written, seen


@given(st.lists(PIECES, min_size=1, max_size=12), st.data())
async def test_what_is_kept_and_what_comes_after_it_show_the_same_thoughts(
    some: list[str], data: st.DataObject
) -> None:
    pieces = ["<think>", "\n", *some]
    written, seen = write(pieces)
    wanted = data.draw(st.sampled_from(seen)).strip()

    async def spell(tokens: Sequence[int]) -> str:
        return "".join(pieces[token] for token in tokens)

    found = await written.find(wanted, "", CLOSING, spell)
    if found is None:
        return
    assert found.tokens == list(range(len(found.tokens)))
    assert found.text == await spell(found.tokens)
    assert found.rest.endswith(CLOSING)
    splitter, shown = Splitter(family_named("hermes").parse), Shown()
    deltas = [
        *shown.feed(splitter.feed(found.text + found.rest)),
        *shown.feed(splitter.finish()[0]),
        *shown.flush(),
    ]
    assert "".join(delta.text for delta in deltas if isinstance(delta, ThinkingDelta)).strip() == wanted


async def test_a_piece_that_ends_inside_a_letter_is_given_up() -> None:
    pieces = ["<think>", "\n", "a", "b", "c"]
    written, seen = write(pieces)

    async def spell(tokens: Sequence[int]) -> str:
        half = "\ufffd" if len(tokens) == len(pieces) else ""
        return "".join(pieces[token] for token in tokens) + half

    found = await written.find(seen[-1], "", CLOSING, spell)
    assert found is not None
    assert (found.tokens, found.rest) == ([0, 1, 2, 3], f"c{CLOSING}")


async def test_other_thoughts_are_not_taken_for_these() -> None:
    written, _ = write(["<think>", "\n", "a", "b"])

    async def spell(tokens: Sequence[int]) -> str:
        raise AssertionError("nothing to spell")

    assert await written.find("xb", "", CLOSING, spell) is None
    assert await written.find("", "ab", CLOSING, spell) is None
