"""Text within a paragraph: emphasis, code, links that show where they lead."""

from __future__ import annotations

import re
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
}

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

    def add(text: str, style: str = "") -> None:
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
    return Content("".join(parts), spans)
