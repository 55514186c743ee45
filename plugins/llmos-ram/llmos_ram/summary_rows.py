"""Tables of summaries and of evaluated tokens in ``ram.db``.

A summary never outlives a page that it was made from: triggers take it along, whoever deletes the
page, so that what is forgotten is not kept in other words.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from llmos.types import Confidentiality, Integrity, Labels

SUMMARY_SCHEMA = """
CREATE TABLE IF NOT EXISTS summaries (
    row INTEGER PRIMARY KEY,
    chat_id TEXT NOT NULL,
    text TEXT NOT NULL,
    labels TEXT NOT NULL,
    first REAL NOT NULL,
    last REAL NOT NULL,
    made REAL NOT NULL,
    how TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS summaries_chat ON summaries(chat_id, row);
CREATE TABLE IF NOT EXISTS summary_pages (
    summary_row INTEGER NOT NULL,
    page_row INTEGER NOT NULL,
    PRIMARY KEY (page_row, summary_row)
);
CREATE INDEX IF NOT EXISTS summary_pages_summary ON summary_pages(summary_row);
CREATE VIRTUAL TABLE IF NOT EXISTS summaries_fts USING fts5(text, chat, tokenize = 'porter unicode61');
CREATE TRIGGER IF NOT EXISTS page_gone AFTER DELETE ON pages BEGIN
    DELETE FROM summaries WHERE row IN (SELECT summary_row FROM summary_pages WHERE page_row = old.row);
END;
CREATE TRIGGER IF NOT EXISTS summary_gone AFTER DELETE ON summaries BEGIN
    DELETE FROM summaries_fts WHERE rowid = old.row;
    DELETE FROM summary_pages WHERE summary_row = old.row;
END;
CREATE TABLE IF NOT EXISTS turn_tokens (
    row INTEGER PRIMARY KEY,
    chat_id TEXT NOT NULL,
    created REAL NOT NULL,
    prompt INTEGER NOT NULL,
    evaluated INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS turn_tokens_chat ON turn_tokens(chat_id, row);
"""

#: Most variables in one statement that every build of SQLite takes.
_VARIABLES = 900


@dataclass(frozen=True, slots=True)
class Summary:
    """A summary of pages that left the window.

    Attributes:
        row: number; grows with time.
        chat_id: the chat of its pages.
        text: what it says.
        labels: joined from those of its pages.
        first, last: when the first and the last of its pages were said.
        made: when it was made.
        how: ``key sentences``, or the name of the model that wrote it.
        pages: rows of the pages that it summarises, oldest first.
    """

    row: int
    chat_id: str
    text: str
    labels: Labels
    first: float
    last: float
    made: float
    how: str
    pages: tuple[int, ...]


def labels_to_json(labels: Labels) -> str:
    """Labels as one JSON object."""
    return json.dumps(
        {"o": sorted(labels.origins), "i": labels.integrity.value, "c": labels.confidentiality.value},
        ensure_ascii=False,
    )


@lru_cache(maxsize=1024)
def labels_from_json(text: str) -> Labels:
    """Labels from ``labels_to_json``; what cannot be read is untrusted and private."""
    try:
        raw = json.loads(text)
        return Labels(frozenset(raw["o"]), Integrity(raw["i"]), Confidentiality(raw["c"]))
    except (ValueError, KeyError, TypeError):
        return Labels(frozenset({"unknown"}), Integrity.UNTRUSTED, Confidentiality.PRIVATE)


class SummaryRows:
    """Summaries and token counts of the store."""

    _db: sqlite3.Connection
    _lock: threading.RLock

    def _all(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        raise NotImplementedError

    def add_summary(
        self,
        chat_id: str,
        text: str,
        labels: Labels,
        pages: Sequence[int],
        span: tuple[float, float],
        how: str,
    ) -> int:
        """Keep a summary with its links, all or nothing.

        Args:
            chat_id: the chat of the pages.
            text: the summary.
            labels: joined from those of the pages.
            pages: rows that it summarises.
            span: when the first and the last of them were said.
            how: ``key sentences`` or a model's name.

        Returns:
            its row; 0 when a page is gone or summarised meanwhile, and nothing was kept.
        """
        marks = ",".join("?" * len(pages))
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                there = self._all(f"SELECT count(*) FROM pages WHERE row IN ({marks})", *pages)[0][0]
                taken = self.summarised(pages)
                row = 0
                if there == len(set(pages)) and not taken:
                    cursor = self._db.execute(
                        "INSERT INTO summaries(chat_id, text, labels, first, last, made, how)"
                        " VALUES (?, ?, ?, ?, ?, ?, ?)",
                        (chat_id, text, labels_to_json(labels), *span, time.time(), how),
                    )
                    row = int(cursor.lastrowid or 0)
                    self._db.execute(
                        "INSERT INTO summaries_fts(rowid, text, chat) VALUES (?, ?, ?)", (row, text, chat_id)
                    )
                    self._db.executemany(
                        "INSERT INTO summary_pages(summary_row, page_row) VALUES (?, ?)",
                        [(row, page) for page in dict.fromkeys(pages)],
                    )
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
        return row

    def summaries(self, chat_id: str = "", rows: Sequence[int] | None = None) -> list[Summary]:
        """Summaries of a chat (empty: of all), oldest first; with ``rows`` only these."""
        where, values = ("chat_id = ?", [chat_id]) if chat_id else ("1", [])
        if rows is not None:
            where += f" AND row IN ({','.join('?' * len(rows))})"
            values += list(rows)  # type: ignore[arg-type]
        found = self._all(
            "SELECT row, chat_id, text, labels, first, last, made, how,"
            " (SELECT group_concat(page_row) FROM summary_pages WHERE summary_row = summaries.row)"
            f" FROM summaries WHERE {where} ORDER BY row",
            *values,
        )
        return [
            Summary(
                row, chat, text, labels_from_json(labels), first, last, made, how,
                tuple(sorted(int(page) for page in str(pages or "").split(",") if page)),
            )
            for row, chat, text, labels, first, last, made, how, pages in found
        ]  # fmt: skip

    def count_summaries(self, chat_id: str) -> int:
        """How many summaries a chat has."""
        return int(self._all("SELECT count(*) FROM summaries WHERE chat_id = ?", chat_id)[0][0])

    def latest_summaries(self, chat_id: str, limit: int) -> list[Summary]:
        """The last ones of a chat, oldest first."""
        rows = self._all(
            "SELECT row FROM summaries WHERE chat_id = ? ORDER BY row DESC LIMIT ?", chat_id, limit
        )
        return self.summaries(chat_id, [row for (row,) in rows])

    def search_summaries(self, words: Iterable[str], chat_id: str, limit: int) -> list[int]:
        """Rows of summaries by BM25, best first; an empty chat id searches all chats."""
        terms = " OR ".join('"' + word.replace('"', '""') + '"' for word in dict.fromkeys(words))
        if not terms:
            return []
        match = f"text : ({terms})" + (f' AND chat : "{chat_id}"' if chat_id else "")
        return [
            row
            for (row,) in self._all(
                "SELECT rowid FROM summaries_fts WHERE summaries_fts MATCH ?"
                " ORDER BY bm25(summaries_fts, 1.0, 0.0), rowid DESC LIMIT ?",
                match,
                limit,
            )
        ]

    def summarised(self, rows: Sequence[int]) -> set[int]:
        """Those of the pages that a summary has already."""
        found: set[int] = set()
        for start in range(0, len(rows), _VARIABLES):
            part = rows[start : start + _VARIABLES]
            marks = ",".join("?" * len(part))
            found.update(
                row
                for (row,) in self._all(
                    f"SELECT DISTINCT page_row FROM summary_pages WHERE page_row IN ({marks})", *part
                )
            )
        return found

    def forget_summary(self, row: int) -> bool:
        """Remove a summary; its pages stay."""
        with self._lock:
            return bool(self._db.execute("DELETE FROM summaries WHERE row = ?", (row,)).rowcount)

    # Evaluated tokens.

    def add_turn_tokens(self, chat_id: str, prompt: int, evaluated: int) -> None:
        """Keep how many prompt tokens a turn had and how many of them were evaluated."""
        with self._lock:
            self._db.execute(
                "INSERT INTO turn_tokens(chat_id, created, prompt, evaluated) VALUES (?, ?, ?, ?)",
                (chat_id, time.time(), prompt, evaluated),
            )

    def turn_tokens(self, chat_id: str) -> tuple[int, int, int, int]:
        """(turns counted, prompt tokens, evaluated tokens, evaluated in the last turn) of a chat."""
        turns, prompt, evaluated = self._all(
            "SELECT count(*), sum(prompt), sum(evaluated) FROM turn_tokens WHERE chat_id = ?", chat_id
        )[0]
        last = self._all(
            "SELECT evaluated FROM turn_tokens WHERE chat_id = ? ORDER BY row DESC LIMIT 1", chat_id
        )
        return int(turns), int(prompt or 0), int(evaluated or 0), int(last[0][0]) if last else 0
