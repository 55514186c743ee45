"""From a page's bytes to its text, and from the text to passages that can be cited."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass

from llmos.types import UserError

READABLE = (
    "text/html",
    "application/xhtml+xml",
    "text/plain",
    "text/markdown",
    "text/csv",
    "application/json",
    "application/xml",
    "text/xml",
)
MAX_TEXT = 200_000
MAX_PASSAGE = 600
_LARGE = 1_000_000
_ESCAPED = re.compile(r"\\([\\`*_{}\[\]()<>#+\-.!|~])")
_CHARSET = re.compile(r"charset\s*=\s*\"?([\w.:-]+)", re.I)


@dataclass(frozen=True, slots=True)
class Text:
    """A page's text: Markdown; ``title`` and ``date`` may be empty."""

    title: str
    date: str
    text: str


def extract(body: bytes, content_type: str, url: str) -> Text:
    """The readable part of a page.

    Args:
        body: as it came, unpacked.
        content_type: of the response; empty counts as HTML.
        url: for errors and relative links.

    Raises:
        UserError: a kind that is not read, or nothing to read in it.
    """
    kind = content_type.partition(";")[0].strip().lower() or "text/html"
    if kind not in READABLE:
        raise UserError(f"{url} is of the kind {kind}, which is not read; only pages of text are.")
    if b"\0" in body[:2000] and not body.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{url} is no text, whatever it says of itself.")
    if kind in ("text/html", "application/xhtml+xml"):
        found = _html(_as_declared(body, content_type), url)
    else:
        found = Text("", "", _decode(body, content_type))
        if kind == "application/json":
            found = Text("", "", _json(found.text))
    text = _tidy(found.text)
    if not text:
        raise UserError(f"{url} has no text to read (it may be drawn by a program in the browser).")
    return Text(_line(found.title), _line(found.date)[:20], text[:MAX_TEXT])


def _as_declared(body: bytes, content_type: str) -> bytes | str:
    """Decoded when the response names an encoding that fits, else left to the page's own word."""
    named = _CHARSET.search(content_type)
    try:
        return body.decode(named[1]) if named else body
    except (LookupError, UnicodeDecodeError):
        return body


def _html(body: bytes | str, url: str) -> Text:
    import trafilatura

    # It logs every oddity of a page; pages are odd.
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    logging.getLogger("htmldate").setLevel(logging.CRITICAL)
    title = date = ""
    text = None
    try:
        text = trafilatura.extract(
            body,
            url=url,
            output_format="markdown",
            include_comments=False,
            include_tables=True,
            fast=len(body) > _LARGE,
        )
        metadata = trafilatura.extract_metadata(body, default_url=url)
        title, date = str(metadata.title or ""), str(metadata.date or "")
    except Exception as error:  # its helpers raise many kinds on pages that are no pages
        logging.getLogger("llmos.plugins").debug("extraction of %s: %r", url, error)
    text = _unescaped(text) if text else _plain(body)
    return Text(title, date, text)


def _unescaped(markdown: str) -> str:
    """Without the backslashes that keep marks from being Markdown: it is read, not drawn."""
    parts = markdown.split("```")
    parts[::2] = [_ESCAPED.sub(r"\1", part) for part in parts[::2]]  # every other part is code
    return "```".join(parts)


def _plain(body: bytes | str) -> str:
    """All text between the tags, where there is no article to be found."""
    from lxml import etree, html

    if isinstance(body, str):  # lxml refuses text that names an encoding of its own
        body = body.encode("utf-8")
        encoding: str | None = "utf-8"
    else:
        encoding = None
    try:
        tree = html.document_fromstring(body, parser=html.HTMLParser(encoding=encoding, huge_tree=False))
    except (etree.LxmlError, ValueError):
        return ""
    etree.strip_elements(tree, "script", "style", "noscript", "template", with_tail=False)
    lines = (" ".join(line.split()) for line in tree.itertext() if isinstance(line, str))
    return "\n".join(line for line in lines if line)


def _decode(body: bytes, content_type: str) -> str:
    named = _CHARSET.search(content_type)
    try:
        return body.decode(named[1] if named else "utf-8-sig", "replace")
    except LookupError:
        return body.decode("utf-8", "replace")


def _json(text: str) -> str:
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, indent=1)
    except (ValueError, RecursionError):
        return text


def _tidy(text: str) -> str:
    lines = (line.rstrip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _line(text: str) -> str:
    return " ".join(text.split())[:200]


def passages(text: str, most: int = 60) -> list[tuple[str, str]]:
    """Headings (joined by `` > ``) and text of each passage, in order.

    Args:
        text: Markdown.
        most: at most so many passages.
    """
    headings: list[tuple[int, str]] = []
    found: list[tuple[str, str]] = []
    buffer: list[str] = []

    def close() -> None:
        joined = "\n\n".join(buffer).strip()
        buffer.clear()
        if joined:
            found.append((" > ".join(title for _, title in headings), joined))

    for block in re.split(r"\n{2,}|\n(?=#{1,6} )", text):
        heading = re.match(r"(#{1,6}) +(.+)", block)
        if heading:
            close()
            level = len(heading[1])
            headings = [(other, title) for other, title in headings if other < level]
            headings.append((level, _line(heading[2].strip("# "))[:80]))
            block = block[heading.end() :].strip()
        for piece in _pieces(block):
            if buffer and sum(map(len, buffer)) + len(piece) > MAX_PASSAGE:
                close()
            buffer.append(piece)
        if len(found) >= most:
            return found[:most]
    close()
    return found[:most]


def _pieces(block: str) -> list[str]:
    """A paragraph in pieces no longer than a passage, cut between sentences, else words, else anywhere."""
    pieces = []
    block = block.strip()
    while len(block) > MAX_PASSAGE:
        cut = max(block.rfind(mark, 0, MAX_PASSAGE) + 1 for mark in (". ", "! ", "? ", "\n"))
        if cut < MAX_PASSAGE // 3:
            cut = block.rfind(" ", 0, MAX_PASSAGE)
        if cut < MAX_PASSAGE // 3:
            cut = MAX_PASSAGE
        pieces.append(block[:cut].strip())
        block = block[cut:].strip()
    return [piece for piece in [*pieces, block] if piece]
