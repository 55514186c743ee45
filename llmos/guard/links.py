"""Links in an answer: the whole target is always shown, and nothing is loaded by showing it.

A Markdown link can say one address and open another, and an image is fetched by some programs
as it is drawn. So an answer is taken through ``expand_links`` before it is drawn: the label
stays, the target stands behind it in full, images become links.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from llmos.guard.api import Decision, WindowState
from llmos.guard.clean import clean
from llmos.guard.guard import Guard
from llmos.guard.policy import Sink
from llmos.guard.reveal import reveal

_CODE = re.compile(r"(?s)(```.*?(?:```|\Z)|`[^`\n]*`)")
_INLINE = re.compile(
    r"(?P<image>!?)\[(?P<label>(?:[^\[\]\n]|\[[^\[\]\n]*\]){0,500})\]"
    r"\(\s*(?P<target><[^<>\n]{0,4000}>|(?:[^\s()]|\([^\s()]*\)){0,4000})"
    r"(?:\s+(?:\"[^\"\n]*\"|'[^'\n]*'|\([^)\n]*\)))?\s*\)"
)
_REFERENCE = re.compile(r"(?P<image>!?)\[(?P<label>[^\[\]\n]{1,500})\]\[(?P<name>[^\[\]\n]{0,200})\]")
_DEFINITION = re.compile(r"(?m)^ {0,3}\[(?P<name>[^\[\]\n]{1,200})\]:[ \t]*<?(?P<target>[^\s<>]+)>?.*$")
_HTML = re.compile(
    r"(?is)<\s*(?P<tag>a|img|iframe|link|script|video|audio|source|object|embed|form)\b[^>]{0,4000}>"
)
_HTML_TARGET = re.compile(
    r"(?is)\b(?:href|src|srcset|data|action|poster)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>]+))"
)
_SCHEME = re.compile(r"(?i)^[a-z][a-z0-9+.\-]*:")


@dataclass(frozen=True, slots=True)
class Link:
    """One link of an answer.

    Attributes:
        label: the words that are shown for it.
        target: its exact address.
        image: it was written as an image.
    """

    label: str
    target: str
    image: bool = False


def links_in(text: str) -> list[Link]:
    """Every Markdown or HTML link and image outside code, in order of kinds."""
    names = {match["name"].casefold(): match["target"] for match in _DEFINITION.finditer(text)}
    found: list[Link] = []
    for part in _outside_code(text):
        for match in _INLINE.finditer(part):
            found.append(Link(match["label"], match["target"].strip("<>"), bool(match["image"])))
        for match in _REFERENCE.finditer(part):
            target = names.get((match["name"] or match["label"]).casefold())
            if target:
                found.append(Link(match["label"], target, bool(match["image"])))
        for match in _HTML.finditer(part):
            for target in _html_targets(match.group()):
                found.append(Link("", target, match["tag"].lower() == "img"))
    return found


def expand_links(text: str) -> str:
    """The text with every link written out: ``label (whole target)``; code is left as it is.

    Args:
        text: an answer in Markdown, already cleaned.
    """
    names = {match["name"].casefold(): match["target"] for match in _DEFINITION.finditer(text)}

    def inline(match: re.Match[str]) -> str:
        return _written(match["label"], match["target"].strip("<>"), bool(match["image"]))

    def reference(match: re.Match[str]) -> str:
        target = names.get((match["name"] or match["label"]).casefold())
        return _written(match["label"], target, bool(match["image"])) if target else match.group()

    def html(match: re.Match[str]) -> str:
        targets = _html_targets(match.group())
        return "".join(f"({_shown(target)}) " for target in targets)

    parts = _CODE.split(text)
    for index in range(0, len(parts), 2):
        part = _INLINE.sub(inline, parts[index])
        part = _REFERENCE.sub(reference, part)
        parts[index] = _HTML.sub(html, part)
    return "".join(parts)


def link_decision(guard: Guard, link: Link, window: WindowState) -> Decision:
    """Whether a link may open at a click; else it is shown as text, with the reason.

    Args:
        guard: the guard.
        link: the link as written.
        window: the window that the answer was made from.
    """
    if not re.match(r"(?i)^https?://[^\s]+$", link.target) or clean(link.target) != link.target:
        return Decision("deny", "Only plain web addresses open at a click.", "link-scheme")
    return guard.decide_sink(Sink.LINK, link.target, window)


def _outside_code(text: str) -> list[str]:
    return _CODE.split(text)[0::2]


def _html_targets(tag: str) -> list[str]:
    return ["".join(groups) for groups in _HTML_TARGET.findall(tag)]


def _shown(target: str) -> str:
    return reveal(target) if _SCHEME.match(target) or target.startswith("//") else target


def _written(label: str, target: str, image: bool) -> str:
    words = label.strip()
    kind = "image: " if image else ""
    if not target:
        return words
    if not words or words == target:
        return f"{kind}{_shown(target)}"
    return f"{words} ({kind}{_shown(target)})"
