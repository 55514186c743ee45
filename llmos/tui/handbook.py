"""The handbook: the pages under ``docs/``, cut at headings and searched with SQLite's FTS5."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from llmos.tui.actions import keys_document
from llmos.tui.commands import COMMANDS

#: Pages for whoever chats come before those for whoever writes plugins or runs servers.
_WEIGHTS = {
    "chat.md": 2.2,
    "commands": 1.8,
    "keys.md": 1.6,
    "models.md": 1.6,
    "cli.md": 1.2,
    "plugins/reference.md": 0.5,
}
#: A comparison for readers of the repository; no help.
_LEFT_OUT = frozenset({"keys.md", "features.md"})
_HEADING = re.compile(r"^#{1,3} +(.+)$")
_STOP = frozenset(
    """a an and are can do does for from how i in is it me my of on or that the this to what when where
    which who why with you your get use want need make something any there""".split()  # noqa: SIM905
)


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page under one heading."""

    page: str
    title: str
    text: str
    excerpt: str = ""


def docs_folder() -> Path:
    """Where the pages lie: in the installed package or in the checkout."""
    packaged = Path(str(files("llmos"))) / "_docs"
    return packaged if packaged.is_dir() else Path(str(files("llmos"))).parent / "docs"


def sections(folder: Path | None = None) -> Iterator[Section]:
    """Every section of every page; the keys and commands come from their tables."""
    base = folder if folder is not None else docs_folder()
    yield from _cut("keys.md", keys_document())
    commands = "\n".join(f"- `/{one.name} {one.argument}`".rstrip(" `") + f"`: {one.help}" for one in COMMANDS)
    yield Section("commands", "Slash commands", f"# Slash commands\n\n{commands}\n")
    for file in sorted(base.rglob("*.md")) if base.is_dir() else ():
        if file.name in _LEFT_OUT:
            continue
        try:
            yield from _cut(file.relative_to(base).as_posix(), file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            continue


def _cut(page: str, text: str) -> Iterator[Section]:
    title, lines = page, list[str]()
    for line in text.split("\n"):
        match = _HEADING.match(line)
        if match and any(one.strip() for one in lines):
            yield Section(page, title, "\n".join(lines).strip())
            lines = []
        if match:
            title = match.group(1).strip()
        lines.append(line)
    if any(one.strip() for one in lines):
        yield Section(page, title, "\n".join(lines).strip())


def search(question: str, folder: Path | None = None, limit: int = 8) -> list[Section]:
    """Sections that fit a question best, each with an excerpt.

    Args:
        question: words; small ones are left out.
        folder: another folder of pages.
        limit: most sections.
    """
    words = [word for word in re.findall(r"\w+", question.casefold()) if word not in _STOP]
    if not words:
        return []
    database = sqlite3.connect(":memory:")
    try:
        database.execute(
            "CREATE VIRTUAL TABLE sections USING fts5(page UNINDEXED, title, text, weight UNINDEXED,"
            " tokenize='porter unicode61')"
        )
        database.executemany(
            "INSERT INTO sections VALUES (?, ?, ?, ?)",
            ((one.page, one.title, one.text, _WEIGHTS.get(one.page, 1.0)) for one in sections(folder)),
        )
        expression = " OR ".join(f'"{word}"' for word in words)
        found = database.execute(
            "SELECT page, title, text, snippet(sections, 2, '', '', '…', 12) FROM sections"
            " WHERE sections MATCH ? ORDER BY bm25(sections, 0, 6.0, 1.0, 0) * weight LIMIT ?",
            (expression, limit),
        ).fetchall()
    finally:
        database.close()
    return [Section(page, title, text, " ".join(excerpt.split())) for page, title, text, excerpt in found]
