"""Queries taken apart: identifiers, filters, mentions, FTS5 expressions that cannot be broken."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmos_disk.query import Filter, fts_expression, fts_terms, looks_like_identifier, parse

from llmos.types import UserError


@pytest.mark.parametrize(
    "text",
    [
        "fs.readFile",
        "MAX_RETRIES",
        "--no-cache",
        "getElementById",
        "std::vector",
        "what is set_speed()?",
        "E404",
    ],
)
def test_identifiers(text: str) -> None:
    assert looks_like_identifier(text)


@pytest.mark.parametrize(
    "text", ["how do I read a file", "Tomatoes", "the well-known man", "hello", "", "I/O errors"]
)
def test_no_identifiers(text: str) -> None:
    assert not looks_like_identifier(text)


def test_filters_and_mentions_are_taken_out_of_the_words() -> None:
    query = parse('oil change type:PDF,md folder:"my docs" after:2024-01-31 @engine.md @notes')
    assert query.text == "oil change"
    assert query.filter.kinds == ("pdf", "md") and query.filter.folders == ("my docs",)
    assert query.filter.after > 1.7e9 and query.mentions == ("engine.md", "notes")


def test_an_address_is_no_mention_and_a_wrong_date_is_told() -> None:
    assert parse("write to me@example.org").mentions == ()
    with pytest.raises(UserError, match="is no date"):
        parse("oil after:tomorrow")


def test_fts_expression_quotes_everything_and_drops_stop_words() -> None:
    assert fts_expression(fts_terms("how do I use fs.readFile?")) == '"fs readFile" OR "fs" OR "readFile"'
    assert fts_expression(fts_terms("the of")) == '"the" OR "of"'
    assert fts_terms("?!") == []


@given(st.text(max_size=80))
def test_no_query_breaks_fts5(text: str) -> None:
    expression = fts_expression(fts_terms(text))
    db = sqlite3.connect(":memory:")
    db.execute("CREATE VIRTUAL TABLE t USING fts5(a, tokenize='porter unicode61')")
    if expression:
        db.execute("SELECT * FROM t WHERE t MATCH ?", (expression,)).fetchall()
    db.close()


@given(
    st.lists(st.text(min_size=1, max_size=20), max_size=3),
    st.lists(st.text(min_size=1, max_size=20), max_size=3),
)
def test_filters_never_break_sql(names: list[str], paths: list[str]) -> None:
    scope, values = Filter(folders=tuple(names), paths=tuple(paths), kinds=tuple(names), after=1.0).sql()
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE f(path, relative, kind, mtime_ns)")
    db.execute("CREATE TABLE d(name, path)")
    db.execute(
        f"SELECT * FROM f, d WHERE {scope}",
        [v.encode("utf-8", "replace").decode() if isinstance(v, str) else v for v in values],
    )
    db.close()
