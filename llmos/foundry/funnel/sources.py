"""Reads a corpus folder: JSON lines (plain or xz), text, Markdown and HTML."""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

#: Suffixes that are read; everything else in the folder is left alone.
SUFFIXES = (".jsonl", ".jsonl.xz", ".txt", ".md", ".html", ".htm")


@dataclass(frozen=True)
class Document:
    """One passage on its way through the funnel.

    Attributes:
        source: name of the file it came from, without suffixes.
        text: the passage, or the HTML source while ``html`` is true.
        url: where it was fetched, if the corpus says so.
        html: the text still needs extraction.
    """

    source: str
    text: str
    url: str = ""
    html: bool = False


def _glosses(row: dict[str, Any]) -> str:
    """A dictionary entry as a sentence."""
    words, examples = ", ".join(row["words"]), "; ".join(row.get("ex") or [])
    kind = {"n": "noun", "v": "verb", "a": "adj", "s": "adj", "r": "adverb"}.get(row["pos"], row["pos"])
    return f"{words} ({kind}): {row['def']}." + (f" For example: {examples}." if examples else "")


def _worked(row: dict[str, Any]) -> str:
    """A word problem; calculator marks such as ``<<2+3=5>>`` are dropped."""
    import re

    steps = re.sub(r"<<.*?>>", "", row["answer"]).replace("#### ", "The answer is ")
    return f"Question: {row['question']}\nAnswer: {steps}."


def _dialogue(row: dict[str, Any]) -> str:
    names = {"U": "Customer", "A": "Shop"}
    return "\n".join(f"{names.get(t['r'], t['r'])}: {t['t']}" for t in row["turns"])


def _command(row: dict[str, Any]) -> str:
    examples = "\n".join(f"- {what}: {line}" for what, line in row["examples"][:4])
    return f"{row['cmd']}: {row['desc']}\n{examples}"


def _question(row: dict[str, Any]) -> str:
    if row.get("kind") == "definition":
        return f"{row['q']}: {row['a']}."
    return f"Question: {row['q']}\nAnswer: {row['a']}"


#: How rows without a ``text`` field become text: the fields that a row must have, and the writer.
_ROWS: tuple[tuple[frozenset[str], Callable[[dict[str, Any]], str]], ...] = (
    (frozenset({"words", "def", "pos"}), _glosses),
    (frozenset({"question", "answer"}), _worked),
    (frozenset({"turns"}), _dialogue),
    (frozenset({"cmd", "desc", "examples"}), _command),
    (frozenset({"q", "a"}), _question),
)


def row_document(source: str, row: dict[str, Any]) -> Document | None:
    """The document in one JSON row, or None where no known field holds text."""
    url = str(row.get("url", ""))
    if isinstance(row.get("html"), str):
        return Document(source, row["html"], url, html=True)
    if isinstance(row.get("text"), str):
        return Document(source, row["text"], url)
    for fields, write in _ROWS:
        if fields <= row.keys():
            return Document(source, write(row), url)
    return None


def _name(path: Path) -> str:
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if path.name.endswith(suffix):
            return path.name.removesuffix(suffix)
    return path.stem


def read_folder(folder: Path, limit_bytes: int | None = None) -> Iterator[Document]:
    """All documents of a corpus folder, file by file in name order.

    Args:
        folder: searched recursively.
        limit_bytes: stop reading a file after so many characters (a share of every source).

    Raises:
        FileNotFoundError: there is no such folder, or nothing readable in it.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no corpus folder at {folder}: give one with --corpus FOLDER")
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and p.name.endswith(SUFFIXES))
    readable = [p for p in paths if not p.name.upper().startswith("README")]
    if not readable:
        raise FileNotFoundError(f"no {', '.join(SUFFIXES)} files in {folder}: put the corpus there")
    for path in readable:
        read = 0
        for document in _read_file(path):
            yield document
            read += len(document.text)
            if limit_bytes is not None and read >= limit_bytes:
                break


def _read_file(path: Path) -> Iterator[Document]:
    source = _name(path)
    if not path.name.endswith((".jsonl", ".jsonl.xz")):
        text = path.read_text(encoding="utf-8", errors="replace")
        yield Document(source, text, html=path.suffix in (".html", ".htm"))
        return
    opened: Callable[..., IO[str]] = lzma.open if path.suffix == ".xz" else open
    with opened(path, "rt", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                row = None
            document = row_document(source, row) if isinstance(row, dict) else None
            # An unreadable row stays visible to the funnel, which counts it as empty.
            yield document or Document(source, "")
