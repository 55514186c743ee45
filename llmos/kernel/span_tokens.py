"""Token ids of a rendered chat, part by part: template text with special tokens, literal names as text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol


class Tokenizer(Protocol):
    """What is needed of the engine."""

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        """Token ids of a text."""
        ...


def tokens_of_spans(tokenizer: Tokenizer, spans: Iterable[tuple[str, bool]]) -> list[int]:
    """Token ids of spans (text, whether special tokens are read in it) as one text."""
    tokens: list[int] = []
    inside = False  # whether the text before goes on without a break
    for text, special in spans:
        if not special:
            tokens += literal_tokens(tokenizer, text, inside=bool(tokens))
        elif inside:
            tokens += _inside(tokenizer, text, special=True)
        else:
            tokens += tokenizer.tokenize(text, special=True)
        inside = not special
    return tokens


def literal_tokens(tokenizer: Tokenizer, text: str, *, inside: bool = False) -> list[int]:
    """Token ids of a special token's name as plain text.

    Tokens of the type "user-defined" are recognised even when special ones are not asked for, so
    the name is taken apart: its first letter, then the rest.
    """
    first = _inside(tokenizer, text[:1]) if inside else tokenizer.tokenize(text[:1])
    return first + (_inside(tokenizer, text[1:]) if len(text) > 1 else [])


def _inside(tokenizer: Tokenizer, text: str, *, special: bool = False) -> list[int]:
    """Token ids of text in the middle of a line.

    SentencePiece vocabularies put a blank before every text; behind a line break, which is then
    taken off again, the text stands as it is.
    """
    before = tokenizer.tokenize("\n")
    tokens = tokenizer.tokenize("\n" + text, special=special)
    if tokens[: len(before)] == before:
        return tokens[len(before) :]
    return tokenizer.tokenize(text, special=special)  # the line break grew together with the text
