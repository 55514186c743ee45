"""Source code: cut at definitions, so that a passage is a whole function where it fits."""

from __future__ import annotations

import ast
import re

from llmos_disk.blocks import Block

_DEFINITION = re.compile(
    r"^(?:export\s+|default\s+|public\s+|private\s+|protected\s+|internal\s+|static\s+|async\s+|abstract\s+"
    r"|final\s+|pub(?:\([^)]*\))?\s+|unsafe\s+|extern\s+|inline\s+|const\s+|open\s+|data\s+|sealed\s+)*"
    r"(?:function\*?|class|interface|struct|enum|trait|impl|fn|func|def|module|namespace|type|object|record"
    r"|sub|package|create\s+(?:table|view|function|index)|message|service|resource|\[[^\]]+\]"
    r"|[A-Za-z_][\w:<>,*&\s]*?\s\**[A-Za-z_]\w*\s*\([^;]*$)",
    re.IGNORECASE,
)
_NAME = re.compile(r"\s*[{(:=].*$")


def read_python(text: str) -> list[Block]:
    """Blocks of a Python module: the text before, each function, each method; others as ``read_code``."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return read_code(text)
    lines = text.split("\n")
    cuts: list[tuple[int, tuple[str, ...]]] = [(1, ())]
    _collect(tree.body, (), cuts, depth=0)
    return _cut(lines, cuts)


def _collect(
    body: list[ast.stmt], above: tuple[str, ...], cuts: list[tuple[int, tuple[str, ...]]], depth: int
) -> None:
    """Append (first line, headings) for each definition and for what follows it."""
    for node in body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        first = min([node.lineno, *(item.lineno for item in node.decorator_list)])
        word = "class" if isinstance(node, ast.ClassDef) else "def"
        names = (*above, f"{word} {node.name}")
        cuts.append((first, names))
        if isinstance(node, ast.ClassDef) and depth < 3:
            _collect(node.body, names, cuts, depth + 1)
        cuts.append(((node.end_lineno or node.lineno) + 1, above))


def read_code(text: str) -> list[Block]:
    """Blocks of any programming language: a new one at each line that looks like a definition."""
    lines = text.split("\n")
    cuts: list[tuple[int, tuple[str, ...]]] = [(1, ())]
    for number, line in enumerate(lines, start=1):
        if line[:1] in (" ", "\t", "}", "#", "/", "*", "") or not _DEFINITION.match(line):
            continue
        first = number
        while first > 1 and lines[first - 2].startswith(("//", "/*", " *", "#", "@", "--")):
            first -= 1  # the comment above belongs to it
        name = _NAME.sub("", line).strip() or line.strip()
        cuts.append((first, (name[:100],)))
    return _cut(lines, cuts)


def _cut(lines: list[str], cuts: list[tuple[int, tuple[str, ...]]]) -> list[Block]:
    """Blocks between the cuts."""
    cuts = sorted(cuts, key=lambda cut: cut[0])
    blocks = []
    for index, (first, names) in enumerate(cuts):
        after = cuts[index + 1][0] if index + 1 < len(cuts) else len(lines) + 1
        chosen = lines[first - 1 : after - 1]
        while chosen and not chosen[0].strip():
            chosen = chosen[1:]
            first += 1
        body = "\n".join(chosen).rstrip()
        if body.strip():
            blocks.append(Block(body, names, first, kind="code"))
    return blocks
