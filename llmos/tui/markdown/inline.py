"""Text within a paragraph: emphasis, code, links that show where they lead."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from textual.content import Content, Span

from llmos.guard.clean import clean
from llmos.tui.markdown.parse import inline_tokens

if TYPE_CHECKING:
    from markdown_it.token import Token

STYLES = {
    "strong": "bold",
    "em": "italic",
    "s": "strike",
    "code": "$text-accent on $boost",
    "link": "$text-primary underline",
    "target": "$text-muted",
    "html": "$text-muted",
    "mark": "underline $text-warning",
}

#: Stand around a marked part of the source (see ``marked``); no text can hold them by itself.
OPEN, CLOSE = "\ue0f0", "\ue0f1"
#: Cleaning may have moved a part by so many characters.
_NEAR = 40
#: Stands behind a marked part, for eyes and terminals without colour.
SIGN = " [?]"
_AROUND = re.compile(f"([{OPEN}{CLOSE}])")

_TASK = re.compile(r"^\[([ xX])\] ")


class Inline:
    """Renders paragraphs and remembers them, so that a growing text costs only what is new."""

    def __init__(self) -> None:
        self._cache: dict[str, Content] = {}

    def clear(self) -> None:
        """Forget everything: a link definition has changed what texts mean."""
        self._cache.clear()

    def render(self, text: str, environment: dict[str, Any]) -> Content:
        """Content of one paragraph's Markdown."""
        cached = self._cache.get(text)
        if cached is None:
            cached = _render(inline_tokens(text, environment))
            if len(self._cache) > 4_000:
                self._cache.clear()
            self._cache[text] = cached
        return cached


def marked(text: str, parts: Iterable[tuple[int, str]]) -> str:
    """Markdown with signs around parts of it, which ``Inline`` draws as marks.

    Args:
        text: Markdown.
        parts: (about where it begins, the part) of each; those that are not there are left out.
    """
    text = _AROUND.sub("", text)
    places = []
    for start, part in parts:
        place = text.find(part, max(start - _NEAR, 0))
        place = text.find(part) if place < 0 else place
        if part and place >= 0:
            # Within the signs of emphasis: beside a letter of ours they would be none.
            inner = part.strip("*_~")
            begins = place + part.find(inner)
            places.append((begins, begins + len(inner)))
    last = len(text)
    for begins, ends in sorted(set(places), reverse=True):
        if begins < ends <= last:
            text = f"{text[:begins]}{OPEN}{text[begins:ends]}{CLOSE}{text[ends:]}"
            last = begins
    return text


def task_box(content: Content) -> Content:
    """Show ``[ ]`` and ``[x]`` at the start of a list item as boxes."""
    match = _TASK.match(content.plain)
    if match is None:
        return content
    box = "☐ " if match.group(1) == " " else "☑ "
    return Content(box) + content[match.end() :]


def _render(tokens: list[Token]) -> Content:
    parts: list[str] = []
    spans: list[Span] = []
    opened: list[tuple[str, int]] = []
    links: list[tuple[str, int]] = []
    position = 0
    marked: int | None = None

    def add(text: str, style: str = "") -> None:
        for piece in _AROUND.split(text):
            if piece == OPEN:
                begin()
            elif piece == CLOSE:
                end()
            else:
                plain(piece, style)

    def begin() -> None:
        nonlocal marked
        marked = position

    def end() -> None:
        nonlocal marked
        if marked is not None and position > marked:
            spans.append(Span(marked, position, STYLES["mark"]))
            marked = None
            plain(SIGN, "$text-warning")

    def plain(text: str, style: str = "") -> None:
        nonlocal position
        text = clean(text)  # Markdown's own entities (&#x202e;) can spell what was cleaned before
        if not text:
            return
        parts.append(text)
        if style:
            spans.append(Span(position, position + len(text), style))
        position += len(text)

    for token in tokens:
        kind = token.type
        if kind in ("text", "text_special"):
            add(token.content)
        elif kind == "code_inline":
            add(token.content, STYLES["code"])
        elif kind == "softbreak":
            add(" ")
        elif kind == "hardbreak":
            add("\n")
        elif kind == "link_open":
            links.append((str(token.attrGet("href") or ""), position))
        elif kind == "link_close":
            href, start = links.pop()
            shown = "".join(parts)[start:position]
            if position > start:
                spans.append(Span(start, position, STYLES["link"]))
            if shown not in (href, href.removeprefix("mailto:")):
                add(f" ({href})", STYLES["target"])
        elif kind == "image":
            add(f"[image: {token.content}]", STYLES["html"])
            add(f" ({token.attrGet('src') or ''})", STYLES["target"])
        elif kind == "html_inline":
            add(token.content, STYLES["html"])
        elif kind.endswith("_open"):
            opened.append((kind.removesuffix("_open"), position))
        elif kind.endswith("_close") and opened:
            name, start = opened.pop()
            if position > start and name in STYLES:
                spans.append(Span(start, position, STYLES[name]))
        else:
            add(token.content)
    end()
    return Content("".join(parts), spans)
