"""Markdown as a command prints it: drawn on a terminal, without its signs where it goes into a pipe."""

from __future__ import annotations

import functools
import re
import sys
from typing import TYPE_CHECKING, TextIO

import click

from llmos.cli.output import clean

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

#: Underscores stand in names of files far more often than for emphasis: they are letters here.
_UNDERSCORE = "\ue000"
_UNDERSCORES = re.compile(r"\\?_")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
_TABLE_RULE = re.compile(r"\|[\s:|-]+\|")


def echo_markdown(text: str, *, err: bool = False) -> None:
    """Print the Markdown of a result, cleaned of what could steer a terminal.

    Args:
        text: Markdown; line breaks in it stay line breaks.
        err: print to standard error.
    """
    stream = sys.stderr if err else sys.stdout
    cleaned = clean(text)
    click.echo(drawn(cleaned, stream) if stream.isatty() else plain(cleaned), err=err)


def plain(text: str) -> str:
    """The text without signs of emphasis, code and links; lists, tables and code keep their lines."""
    lines, inside = [], ""
    for line in text.split("\n"):
        fence = _FENCE.match(line)
        if fence and (not inside or (fence[1].startswith(inside) and not line.strip(" `~"))):
            inside = "" if inside else fence[1]
        elif inside or not line.strip() or _TABLE_RULE.fullmatch(line):
            lines.append(line)
        else:
            lead = line[: len(line) - len(line.lstrip())]
            lines.append(lead + _inline(line.lstrip()))
    return "\n".join(lines)


def _inline(line: str) -> str:
    (token,) = _parser().parseInline(_UNDERSCORES.sub(_UNDERSCORE, line))
    return "".join(part.content for part in token.children or ()).replace(_UNDERSCORE, "_")


@functools.cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark")


def drawn(text: str, stream: TextIO) -> str:
    """The text with headings, emphasis, lists, tables and code as a terminal shows them.

    Args:
        text: Markdown.
        stream: where it will be printed: its width and colours count.
    """
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console(file=stream)
    with console.capture() as capture:
        console.print(Markdown(_hard_breaks(_UNDERSCORES.sub(_UNDERSCORE, text)), hyperlinks=False))
    return "\n".join(line.rstrip() for line in capture.get().replace(_UNDERSCORE, "_").rstrip().split("\n"))


def _hard_breaks(text: str) -> str:
    """Line breaks of the text as Markdown's hard breaks, outside of code."""
    lines, inside = [], False
    for line in text.split("\n"):
        if _FENCE.match(line):
            inside = not inside
            lines.append(line)
        else:
            lines.append(line if inside or not line.strip() else line + "  ")
    return "\n".join(lines)
