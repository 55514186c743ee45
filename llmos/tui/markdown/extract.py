"""Pieces of a Markdown text: its code blocks."""

from __future__ import annotations

from llmos.tui.markdown.parse import block_tokens


def code_blocks(text: str) -> list[str]:
    """Contents of the code blocks, in order."""
    return [token.content for token in block_tokens(text, {}) if token.type in ("fence", "code_block")]
