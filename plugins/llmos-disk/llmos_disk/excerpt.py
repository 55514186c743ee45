"""Short pieces of passages for people to read: one line, without the signs of Markdown in it."""

from __future__ import annotations

import re

#: Kinds of files whose text is Markdown, or was turned into it.
_MARKDOWN = ("markdown", "notebook", "docx", "html", "epub")

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_IMAGE = re.compile(r"!\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])")
_LINK = re.compile(r"\[((?:[^\[\]]|`[^`]*`)+)\](?:\([^)]*\)|\[[^\]]*\])")
_FENCE = re.compile(r"^ {0,3}(?:`{3,}|~{3,})\s*[\w+-]*\s*$", re.MULTILINE)
_HEAD = re.compile(r"^ {0,3}#{1,6}\s+", re.MULTILINE)
_BULLET = re.compile(r"^\s*[*+-]\s+", re.MULTILINE)
_EMPHASIS = re.compile(r"(?<![\w*])(\*{1,3})(?=\S)(.+?)(?<=\S)\1(?![\w*])", re.DOTALL)
_CODE = re.compile(r"(`+)(.+?)\1", re.DOTALL)
_SIGNS = re.compile(r"([\\`*_\[\]<>#|~&!])")


def excerpt(text: str, kind: str, length: int = 240) -> str:
    """The beginning of a passage on one line, as Markdown that shows it as it is.

    Args:
        text: the passage.
        kind: kind of its file; where it is Markdown, links, emphasis and code lose their signs.
        length: most characters, cut at a word.
    """
    flat = " ".join((without_signs(text) if kind in _MARKDOWN else text).split())
    if len(flat) > length:
        flat = flat[:length].rsplit(" ", 1)[0] + " …"
    return escaped(flat)


def without_signs(text: str) -> str:
    """Markdown as the text that a reader sees."""
    text = _FENCE.sub("", _COMMENT.sub(" ", text))
    text = _LINK.sub(r"\1", _IMAGE.sub(r"\1", text))
    for pattern, kept in ((_HEAD, ""), (_BULLET, "• "), (_EMPHASIS, r"\2"), (_CODE, r"\2")):
        text = pattern.sub(kept, text)
    return text


def escaped(text: str) -> str:
    """The text for use within Markdown, where none of its signs means anything."""
    return _SIGNS.sub(r"\\\1", text)
