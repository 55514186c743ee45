"""HTML: headings and block elements, scripts and navigation left out, source lines kept."""

from __future__ import annotations

import re
from typing import Any

from llmos_disk.blocks import Block, Unreadable, clean_text
from llmos_disk.readers.encoding import encoding_of

_DROP = ("script", "style", "noscript", "template", "svg", "nav", "iframe", "object", "head")
_BLOCK_NAMES = (
    "p li pre td th tr dt dd blockquote div section article main table ul ol dl figure figcaption body "
    "header footer aside details summary address hr br caption tbody thead"
)
_BLOCKS = frozenset(_BLOCK_NAMES.split())
_HEADINGS = {"h1": 1, "h2": 2, "h3": 3, "h4": 4, "h5": 5, "h6": 6}


def read_html(data: bytes | str, *, part: str = "", lines: bool = True) -> list[Block]:
    """Blocks of an HTML page.

    Args:
        data: the page; bytes are decoded by its own declaration, else by a guess.
        part: place inside a container (a chapter of a book).
        lines: False when lines of the source mean nothing (HTML made from another format).

    Raises:
        Unreadable: nested so deeply that it cannot be walked.
    """
    from bs4 import BeautifulSoup

    try:
        if isinstance(data, bytes):
            guess = encoding_of(data)
            soup = BeautifulSoup(data, "html.parser", from_encoding=None if guess == "utf-8" else guess)
        else:
            soup = BeautifulSoup(data, "html.parser")
        title = soup.title.get_text(" ", strip=True) if soup.title else ""
        for tag in soup.find_all(_DROP):
            tag.decompose()
        return _walk(soup, title, part, lines)
    except RecursionError as error:
        raise Unreadable("is nested too deeply") from error


def _walk(soup: Any, title: str, part: str, lines: bool) -> list[Block]:
    from bs4.element import Comment, NavigableString, PreformattedString, Tag

    blocks: list[Block] = []
    opened: list[tuple[int, str]] = []
    text: list[str] = []
    first = 0

    def flush() -> None:
        nonlocal first
        body = _tidy("".join(text))
        text.clear()
        if body:
            headings = tuple(name for _, name in opened) or ((clean_text(title),) if title else ())
            blocks.append(Block(body, headings, first if lines else 0, part=part))
        first = 0

    skip_until: Any = None
    for node in soup.descendants:
        if skip_until is not None:
            if any(parent is skip_until for parent in node.parents):
                continue
            skip_until = None
        if isinstance(node, Tag):
            name = node.name
            if name in _HEADINGS:
                flush()
                level = _HEADINGS[name]
                while opened and opened[-1][0] >= level:
                    opened.pop()
                words = clean_text(re.sub(r"\s+", " ", node.get_text(" ")).strip(" ¶#"))
                if words:
                    opened.append((level, words))
                skip_until = node
            elif name in ("td", "th"):
                text.append(" | ")
            elif name in _BLOCKS:
                text.append("\n")
            continue
        if isinstance(node, NavigableString) and not isinstance(node, Comment | PreformattedString):
            parent = node.parent
            if not first and node.strip() and parent is not None:
                first = parent.sourceline or 0
            inside_pre = parent is not None and (parent.name == "pre" or parent.find_parent("pre") is not None)
            text.append(str(node) if inside_pre else re.sub(r"\s+", " ", str(node)))
    flush()
    return blocks


def _tidy(text: str) -> str:
    """Collapse blank lines and outer spaces of each line; clean it."""
    rows = [row.strip(" \t|") if "|" in row[:3] else row.rstrip() for row in clean_text(text).split("\n")]
    out: list[str] = []
    for row in rows:
        if row.strip() or (out and out[-1]):
            out.append(row.strip() if not row.startswith("  ") else row)
    return "\n".join(out).strip()
