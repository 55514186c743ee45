"""Blocks to chunks: 600-900 characters, at most about 220 tokens, each knowing its place."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from llmos_disk.blocks import Block

#: Characters of a chunk: it is filled beyond the first, never beyond the second.
CAPACITY = (600, 900)
#: Estimated tokens of a chunk, headings not counted.
MAX_TOKENS = 220
#: Most characters of the headings in front of a chunk.
_MAX_HEADING = 160

_WORDS = re.compile(r"[A-Za-z]+|[0-9]+|[^\W\d_a-zA-Z]|[^\s\w]|_")


@dataclass(frozen=True, slots=True)
class Chunk:
    """One passage.

    Attributes:
        heading: headings above it, joined by `` > ``.
        line, end_line: 1-based lines in the file or in ``part``; 0 where lines mean nothing.
    """

    ordinal: int
    heading: str
    text: str
    line: int = 0
    end_line: int = 0
    page: int = 0
    part: str = ""


def estimate_tokens(text: str) -> int:
    """Upper estimate of WordPiece tokens, without a tokenizer (which would cost 100 times as much).

    A Latin word counts one token for every five letters, digits one for two, and letters of other
    scripts and signs one each.
    """
    total = 0
    for word in _WORDS.findall(text):
        if len(word) == 1:
            total += 1
        elif word.isdigit():
            total += (len(word) + 1) // 2
        else:
            total += (len(word) + 4) // 5 if len(word) < 20 else len(word) // 3
    return total


@functools.cache
def _splitter(low: int, high: int, markdown: bool) -> Any:
    from semantic_text_splitter import MarkdownSplitter, TextSplitter

    return (MarkdownSplitter if markdown else TextSplitter)((low, high), trim=False)


def _pieces(text: str, low: int, high: int) -> Iterator[tuple[int, str]]:
    """(character offset, piece) with every piece at most ``high`` long and within ``MAX_TOKENS``."""
    if len(text) <= high and estimate_tokens(text) <= MAX_TOKENS:
        yield 0, text
        return
    if len(text) <= high:
        high = max(len(text) // 2, 40)
        low = high * 2 // 3
    for offset, piece in _splitter(low, high, False).chunk_indices(text):
        if high > 80 and estimate_tokens(piece) > MAX_TOKENS:
            for inner, part in _pieces(piece, low // 2, high // 2):
                yield offset + inner, part
        else:
            yield offset, piece


def _join_headings(headings: tuple[str, ...]) -> str:
    """`` > `` between them; the outer ones give way when it gets long."""
    kept = [heading[:_MAX_HEADING] for heading in headings if heading]
    while len(kept) > 1 and sum(map(len, kept)) > _MAX_HEADING:
        kept.pop(0)
    return " > ".join(kept)


def chunk_blocks(blocks: Iterable[Block]) -> list[Chunk]:
    """Cut blocks; short neighbours under the same headings, page and part are joined first."""
    chunks: list[Chunk] = []
    for block in _joined(blocks):
        heading = _join_headings(block.headings)
        line = block.line
        position = 0
        for offset, piece in _pieces(block.text, *CAPACITY):
            line += block.text.count("\n", position, offset)
            position = offset
            body = piece.strip("\n")
            lead = len(piece) - len(piece.lstrip("\n"))
            if not body.strip():
                continue
            first = line + lead if block.line else 0
            last = first + body.count("\n") if block.line else 0
            chunks.append(Chunk(len(chunks), heading, body, first, last, block.page, block.part))
    return chunks


def _joined(blocks: Iterable[Block]) -> Iterator[Block]:
    """Join short neighbours whose lines follow one another, or that have no lines at all."""
    held: Block | None = None
    for block in blocks:
        if held is not None and _may_join(held, block):
            gap = 1
            if held.line:
                gap = block.line - held.line - held.text.count("\n")
            held = Block(
                held.text + "\n" * max(gap, 1) + block.text,
                held.headings,
                held.line,
                held.page,
                held.part,
                held.kind,
            )
            continue
        if held is not None:
            yield held
        held = block
    if held is not None:
        yield held


def _may_join(one: Block, other: Block) -> bool:
    same = one.headings == other.headings and one.page == other.page and one.part == other.part
    if not same or one.kind != other.kind or len(one.text) + len(other.text) > CAPACITY[0]:
        return False
    if one.line and other.line:
        gap = other.line - one.line - one.text.count("\n")
        return 1 <= gap <= 4
    return not one.line and not other.line


def passage_text(title: str, heading: str, text: str) -> str:
    """What is embedded: ``path > headings`` on a line, then the text."""
    return f"{title} > {heading}\n{text}" if heading else f"{title}\n{text}"
