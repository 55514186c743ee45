"""Markdown and reStructuredText: sections by headings, with line numbers."""

from __future__ import annotations

import re

from llmos_disk.blocks import Block

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
_ATX = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*$")
_SETEXT = re.compile(r"^ {0,3}(=+|-+)[ \t]*$")
_REFERENCE = re.compile(r"^ {0,3}\[[^\]]+\]:[ \t]+\S+")
_LINK = re.compile(r"!?\[([^\[\]]*)\](?:\([^()\s]*(?:\s+\"[^\"]*\")?\)|\[[^\[\]]*\])")
_COMMENT = re.compile(r"<!--.*?-->")


def _inline(line: str) -> str:
    """A Markdown line as words: links become their text, inline code its code."""
    if "[" in line:
        for _ in range(2):  # an image inside a link
            line = _LINK.sub(r"\1", line)
        line = re.sub(r"\[(`[^`]+`)\]", r"\1", line)
    return line


def heading_text(raw: str) -> str:
    """A heading as words, without marks of emphasis, code and links."""
    text = _inline(raw).replace("`", "").replace("**", "")
    return re.sub(r"\s+", " ", re.sub(r"\s*\{#[^}]*\}\s*$", "", text)).strip()


class _Sections:
    """Collects lines under the headings that are open."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._open: list[tuple[int, str]] = []
        self._lines: list[str] = []
        self._first = 1

    def add(self, line: str) -> None:
        self._lines.append(line)

    def drop_last(self) -> str:
        return self._lines.pop() if self._lines else ""

    def heading(self, level: int, title: str, next_line: int) -> None:
        """Close the section before; the new one's text begins at ``next_line``."""
        self.close()
        self._first = next_line
        while self._open and self._open[-1][0] >= level:
            self._open.pop()
        if title:
            self._open.append((level, title))

    def close(self) -> None:
        lines, first = self._lines, self._first
        self._lines = []
        while lines and not lines[0].strip():
            lines.pop(0)
            first += 1
        while lines and not lines[-1].strip():
            lines.pop()
        if lines:
            self.blocks.append(Block("\n".join(lines), tuple(title for _, title in self._open), first))


def read_markdown(text: str) -> list[Block]:
    """Sections of a Markdown text; fenced code is never taken for headings.

    A section that holds no text of its own is not lost: its heading stands above its children.
    """
    lines = text.split("\n")
    sections = _Sections()
    fence = ""
    comment = False
    start = _front_matter(lines)
    for _ in range(start):
        sections.add("")
    for index in range(start, len(lines)):
        line = lines[index]
        mark = _FENCE.match(line)
        if fence:
            sections.add(line)
            if mark and mark[1][0] == fence[0] and len(mark[1]) >= len(fence) and not line.strip(" `~"):
                fence = ""
            continue
        if comment:
            comment = "-->" not in line
            sections.add("")
            continue
        if mark:
            fence = mark[1]
            sections.add(line)
            continue
        if "<!--" in line:
            line = _COMMENT.sub("", line)
            if "<!--" in line:
                comment = True
                line = line[: line.index("<!--")]
        atx = _ATX.match(line)
        if atx:
            sections.heading(len(atx[1]), heading_text(atx[2]), index + 2)
            continue
        setext = _SETEXT.match(line)
        before = lines[index - 1] if index > start else ""
        if setext and before.strip() and not re.match(r"^\s*([-*+>|]|\d+\.|    )", before):
            sections.drop_last()
            sections.heading(1 if setext[1][0] == "=" else 2, heading_text(before), index + 2)
            continue
        sections.add("" if _REFERENCE.match(line) else _inline(line))
    sections.close()
    return sections.blocks


def _front_matter(lines: list[str]) -> int:
    """Number of lines of YAML front matter."""
    if lines and lines[0].strip() == "---":
        for index, line in enumerate(lines[1:60], start=1):
            if line.strip() in ("---", "..."):
                return index + 1
    return 0


_ADORN = re.compile(r"^([!-/:-@\[-`{-~])\1{2,}\s*$")
_ROLE = re.compile(r":[a-zA-Z][\w:+.-]*:`~?([^`<]+?)(?:\s*<[^>`]*>)?`")
_RST_LINK = re.compile(r"`([^`<]+?)\s*<[^>`]+>`__?")


def read_rst(text: str) -> list[Block]:
    """Sections of a reStructuredText; the level of a heading is told by the order of its marks."""
    lines = text.split("\n")
    sections = _Sections()
    levels: list[str] = []
    index = 0
    while index < len(lines):
        line = lines[index]
        following = lines[index + 1] if index + 1 < len(lines) else ""
        third = lines[index + 2] if index + 2 < len(lines) else ""
        style = ""
        title = ""
        used = 0
        if (
            _ADORN.match(line)
            and following.strip()
            and not _ADORN.match(following)
            and third.rstrip() == line.rstrip()
        ):
            style, title, used = "over" + line[0], following.strip(), 3
        elif (
            line.strip()
            and not line.startswith((" ", "\t", ".. "))
            and _ADORN.match(following)
            and len(following.rstrip()) >= len(line.rstrip()) - 1
            and not _ADORN.match(line)
        ):
            style, title, used = following[0], line.strip(), 2
        if used:
            if style not in levels:
                levels.append(style)
            sections.heading(levels.index(style) + 1, _rst_inline(title).replace("`", ""), index + used + 1)
            index += used
            continue
        sections.add("" if re.match(r"^\.\. _[^:]+:\s*(\S+)?$", line) else _rst_inline(line))
        index += 1
    sections.close()
    return sections.blocks


def _rst_inline(line: str) -> str:
    """A line with roles and links as their words."""
    if "`" not in line:
        return line
    line = _ROLE.sub(r"\1", line)
    line = _RST_LINK.sub(r"\1", line)
    return line.replace("``", "`")
