"""The features table: every test and picture that it names exists, and each row that is ours names one."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "docs" / "features.md"]
NAMED = re.compile(r"`((?:tests/)?[\w/]+\.py)(?:::(\w+))?`")
PICTURE = re.compile(r"`(tests/\S+\.svg)`")


@cache
def functions(file: Path) -> frozenset[str]:
    """Names of the tests in a file."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return frozenset(
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_is_named_exists(page: Path) -> None:
    named = NAMED.findall(page.read_text(encoding="utf-8"))
    assert named
    for path, name in named:
        file = ROOT / path if path.startswith("tests/") else ROOT / "tests" / "llmos" / "tui" / path
        if not path.startswith("tests/") and not name and not file.exists():
            continue  # a file of the program
        assert file.exists(), path
        assert not name or name in functions(file), f"{path}::{name}"


def test_every_row_of_ours_names_a_test_or_a_picture() -> None:
    rows = 0
    for line in PAGES[0].read_text(encoding="utf-8").split("\n"):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("| ") or len(cells) != 8 or cells[1] in ("LLMOS", "---"):
            continue
        rows += 1
        assert NAMED.search(cells[1]) or PICTURE.search(cells[1]), line
        for picture in PICTURE.findall(cells[1]):
            assert (ROOT / picture).exists(), picture
    assert rows > 30


def test_what_is_said_of_others_says_where_and_when_it_was_read() -> None:
    text = PAGES[0].read_text(encoding="utf-8")
    table = text[: text.index("## Starting")]
    programs = re.findall(r"^\| ([\w ]+) \| [^|]+\| ([^|]+)\| \[[^]]+\]\(https://", table, re.M)
    assert [name for name, _ in programs] == ["oterm", "elia", "toad", "LM Studio", "Open WebUI", "GPT4All"]
    for name, read in programs:
        assert re.search(r"commit [0-9a-f]{7}, 20\d\d-\d\d-\d\d", read), name
