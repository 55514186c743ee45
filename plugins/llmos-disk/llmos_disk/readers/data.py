"""CSV, JSON and notebooks."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from llmos_disk.blocks import Block, clean_text
from llmos_disk.readers.markup import read_markdown

_ROWS_LENGTH = 700
_CELL_LENGTH = 400


def read_csv(text: str) -> list[Block]:
    """Records as ``column: value`` lines, several to a block; a block knows its first line.

    A table without a header row is read as plain lines.
    """
    sample = text[:8192]
    try:
        dialect: Any = csv.Sniffer().sniff(sample, delimiters=",;\t|")
    except csv.Error:
        dialect = csv.excel_tab if sample.count("\t") > sample.count(",") else csv.excel
    csv.field_size_limit(10_000_000)
    reader = csv.reader(io.StringIO(text), dialect)
    blocks: list[Block] = []
    pending: list[str] = []
    first = 0
    size = 0
    line = 0
    header: list[str] = []
    try:
        for row in reader:
            begins = line + 1
            line = reader.line_num
            cells = [cell.strip()[:_CELL_LENGTH] for cell in row]
            if not any(cells):
                continue
            if not header:
                header = cells
                if not _is_header(cells):
                    header = [f"column {number}" for number in range(1, len(cells) + 1)]
                else:
                    continue
            record = "; ".join(
                f"{header[index] if index < len(header) else index + 1}: {cell}"
                for index, cell in enumerate(cells)
                if cell
            )
            if pending and size + len(record) > _ROWS_LENGTH:
                blocks.append(Block("\n".join(pending), line=first, kind="records"))
                pending, size = [], 0
            first = first if pending else begins
            pending.append(record)
            size += len(record) + 1
    except csv.Error:
        return [Block(text, line=1)]
    if pending:
        blocks.append(Block("\n".join(pending), line=first, kind="records"))
    if not blocks and header:
        blocks.append(Block(", ".join(header), line=1, kind="records"))
    return blocks


def _is_header(cells: list[str]) -> bool:
    """True when no cell is a number and none is repeated."""
    return len(set(cells)) == len(cells) and not any(
        cell.replace(".", "", 1).replace("-", "", 1).isdigit() for cell in cells
    )


def read_json(text: str) -> list[Block]:
    """Formatted JSON as it stands; JSON on one line as ``path: value`` lines; JSON lines by record."""
    lines = [line for line in text.split("\n") if line.strip()]
    longest = max((len(line) for line in lines), default=0)
    if len(lines) > 3 and longest < 2_000 and not _is_json_lines(lines):
        return [Block(text, line=1, kind="code")]
    if len(lines) > 1:
        blocks = []
        for number, line in enumerate(text.split("\n"), start=1):
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                if line.strip():
                    blocks.append(Block(line, line=number))
                continue
            blocks.append(Block("\n".join(_flatten(value)), line=number, kind="records"))
        return blocks
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return [Block(text, line=1)]
    return [Block("\n".join(_flatten(value)), kind="records")]


def _is_json_lines(lines: list[str]) -> bool:
    for line in lines[:3]:
        try:
            if not isinstance(json.loads(line), dict | list):
                return False
        except (ValueError, RecursionError):
            return False
    return True


def _flatten(value: Any) -> Iterator[str]:
    """``a.b[0]: text`` for every leaf, without recursion (JSON may be nested a thousand deep)."""
    stack: list[tuple[str, Any]] = [("", value)]
    while stack:
        path, item = stack.pop()
        if isinstance(item, dict):
            stack.extend(
                (f"{path}.{key}" if path else str(key), child) for key, child in reversed(item.items())
            )
        elif isinstance(item, list):
            stack.extend((f"{path}[{number}]", child) for number, child in reversed(list(enumerate(item))))
        elif item is not None:
            yield clean_text(f"{path}: {item}" if path else str(item))


def read_notebook(text: str) -> list[Block]:
    """Cells of a Jupyter notebook: prose by headings, code as code; outputs are left out."""
    try:
        book = json.loads(text)
        cells = book["cells"]
        assert isinstance(cells, list)
    except (ValueError, KeyError, TypeError, AssertionError, RecursionError):
        return [Block(text, line=1)]
    blocks: list[Block] = []
    headings: tuple[str, ...] = ()
    for number, cell in enumerate(cells, start=1):
        if not isinstance(cell, dict):
            continue
        source = cell.get("source", "")
        body = clean_text("".join(map(str, source)) if isinstance(source, list) else str(source))
        part = f"cell {number}"
        if cell.get("cell_type") == "markdown":
            found = read_markdown(body)
            for block in found:
                blocks.append(Block(block.text, block.headings or headings, block.line, part=part))
            headings = _last_headings(body, headings)
        elif body.strip():
            kind = "code" if cell.get("cell_type") == "code" else "prose"
            blocks.append(Block(body, headings, 1, part=part, kind="code" if kind == "code" else "prose"))
    return blocks


def _last_headings(body: str, before: tuple[str, ...]) -> tuple[str, ...]:
    """Headings in force after a Markdown cell, for the code cells that follow."""
    blocks = read_markdown(body + "\n\nx")
    return (blocks[-1].headings or before) if blocks else before
