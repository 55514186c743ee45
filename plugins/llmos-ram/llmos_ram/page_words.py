"""Full text of pages in ``ram.db``: what a page is, search by BM25, the upgrade of older files.

Beside its text, each page has index words for its chat, for what it is, and for both together, so
that a search looks at pages of one chat and one kind alone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

from llmos_ram.words import ANSWERS, IDLE, TELLS, is_question, is_small_talk

#: Version of the file; kept in ``user_version``.
VERSION = 2
#: A word in more pages than this says little: pages are looked for by rarer ones, where there are any.
FREQUENT = 800
#: Where all words are frequent, so many of the newest pages are looked at.
NEWEST = 2_000
#: Most different words of a query.
MOST_WORDS = 48

_KIND = {TELLS: "tells", ANSWERS: "answers", IDLE: "idle"}


def kind_of(role: str, text: str) -> int:
    """What a page is: it tells something, it only asks or answers, or it is small talk."""
    if is_small_talk(text):
        return IDLE
    return ANSWERS if role == "assistant" or (role == "user" and is_question(text)) else TELLS


def index_words(chat_id: str, tells: int) -> str:
    """The words under which a page is found beside its text."""
    kind = _KIND[tells]
    return f"{chat_id} {kind}{chat_id} {kind}"


def upgrade(db: sqlite3.Connection) -> None:
    """Bring an older file to this version; the pages stay, their full text is indexed anew."""
    db.execute("BEGIN IMMEDIATE")
    try:
        if db.execute("PRAGMA user_version").fetchone()[0] < VERSION:
            if not any(column[1] == "tells" for column in db.execute("PRAGMA table_info(pages)")):
                db.execute(f"ALTER TABLE pages ADD COLUMN tells INTEGER NOT NULL DEFAULT {TELLS}")
            db.execute("DELETE FROM pages_fts")
            for row, chat_id, role, text in db.execute("SELECT row, chat_id, role, text FROM pages").fetchall():
                tells = kind_of(role, text)
                db.execute("UPDATE pages SET tells = ? WHERE row = ?", (tells, row))
                db.execute(
                    "INSERT INTO pages_fts(rowid, text, chat) VALUES (?, ?, ?)",
                    (row, text, index_words(chat_id, tells)),
                )
            db.execute("CREATE INDEX IF NOT EXISTS pages_bare ON pages(embedder) WHERE tells > 0")
            db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


class PageWords:
    """The part of the store that searches pages by words."""

    def _all(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of a query; the store's."""
        raise NotImplementedError

    def search_words(
        self, words: Iterable[str], chat_id: str, limit: int, tells: int | None = None
    ) -> list[int]:
        """Rows by BM25, best first.

        Args:
            words: of which a page holds at least one.
            chat_id: whose pages; empty searches all chats.
            limit: how many.
            tells: only pages that are this (``TELLS`` and so on); None: all.
        """
        terms = ['"' + word.replace('"', '""') + '"' for word in dict.fromkeys(words)]
        if not terms:
            return []
        (newest,) = self._all("SELECT max(row) FROM pages")[0]
        after = 0
        match = " OR ".join(terms[:MOST_WORDS])
        if (newest or 0) > FREQUENT:
            counts = {term: self._count(term) for term in terms}
            terms.sort(key=lambda term: counts[term])
            match = " OR ".join(terms[:MOST_WORDS])
            rare = [term for term in terms[:MOST_WORDS] if 0 < counts[term] <= FREQUENT]
            if rare and counts[terms[-1]] > FREQUENT:
                match = f"({' OR '.join(rare)}) AND ({match})"
            elif not rare:
                after = int(newest) - NEWEST
        scope = "" if tells is None else _KIND[tells]
        only = f' AND chat : "{scope}{chat_id}"' if scope or chat_id else ""
        return [
            row
            for (row,) in self._all(
                "SELECT rowid FROM pages_fts WHERE pages_fts MATCH ? AND rowid > ?"
                " ORDER BY bm25(pages_fts, 1.0, 0.0), rowid DESC LIMIT ?",
                f"text : ({match}){only}",
                after,
                limit,
            )
        ]

    def _count(self, term: str) -> int:
        """Pages with a word, counted no further than is needed to know that it is frequent."""
        return int(
            self._all(
                "SELECT count(*) FROM (SELECT 1 FROM pages_fts WHERE pages_fts MATCH ? LIMIT ?)",
                f"text : {term}",
                FREQUENT + 1,
            )[0][0]
        )
