"""The Markdown parser: blocks at once, inline text only when a block is laid out."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token


@lru_cache(maxsize=1)
def parser() -> MarkdownIt:
    """CommonMark with tables and strikethrough; the inline pass is left to ``inline_tokens``."""
    from markdown_it import MarkdownIt

    markdown = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    markdown.core.ruler.disable(["inline", "text_join"], ignoreInvalid=True)
    return markdown


def block_tokens(text: str, environment: dict[str, Any]) -> list[Token]:
    """Tokens of the blocks; the text in them is not parsed yet.

    Args:
        text: Markdown.
        environment: collects link definitions; give the same one to ``inline_tokens``.
    """
    return parser().parse(text, environment)


def inline_tokens(text: str, environment: dict[str, Any]) -> list[Token]:
    """Tokens of one paragraph's text."""
    markdown = parser()
    tokens: list[Token] = []
    markdown.inline.parse(text, markdown, environment, tokens)
    return tokens


def top_level(tokens: list[Token]) -> list[tuple[int, int]]:
    """Index ranges ``(start, end)`` of the blocks that stand at the top."""
    ranges: list[tuple[int, int]] = []
    start = depth = 0
    for index, token in enumerate(tokens):
        if depth == 0 and token.nesting >= 0:
            start = index
        depth += token.nesting
        if depth == 0:
            ranges.append((start, index + 1))
    return ranges
