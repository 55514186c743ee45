"""Full text of pages in ``ram.db``: what a page is, search by BM25, the upgrade of older files.

A search costs no more in a long chat than in one of a thousand pages, for it is bounded in what it
looks at. That is approximate where a chat is long: see ``PageWords.search_kinds``.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from llmos_ram.words import ANSWERS, IDLE, TELLS, is_question, is_small_talk

#: Version of the file; kept in ``user_version``.
VERSION = 4
#: A word in more pages than this says little: pages are looked for by rarer ones, where there are any.
FREQUENT = 500
#: A word in more pages than this does not count beside rarer ones.
COMMON = 4_000
#: Rarer words are taken, the rarest first, until they stand in so many pages.
LOOKED_AT = 1_200
#: Where all words are frequent, so many of the newest pages are looked at.
NEWEST = 2_000
#: Different words of a query that are looked up, those that are searched with, frequent ones among them.
LOOKED_UP, MOST_WORDS, MOST_FREQUENT = 96, 48, 8
#: Rows of which it is looked up at once whose pages they are.
_AT_ONCE = 150


def kind_of(role: str, text: str) -> int:
    """What a page is: it tells something, it only asks or answers, or it is small talk."""
    if is_small_talk(text):
        return IDLE
    return ANSWERS if role == "assistant" or (role == "user" and is_question(text)) else TELLS


def upgrade(db: sqlite3.Connection) -> None:
    """Bring an older file to this version; the pages stay."""
    db.execute("BEGIN IMMEDIATE")
    try:
        if db.execute("PRAGMA user_version").fetchone()[0] < VERSION:
            if not any(column[1] == "tells" for column in db.execute("PRAGMA table_info(pages)")):
                db.execute(f"ALTER TABLE pages ADD COLUMN tells INTEGER NOT NULL DEFAULT {TELLS}")
                for row, role, text in db.execute("SELECT row, role, text FROM pages").fetchall():
                    db.execute("UPDATE pages SET tells = ? WHERE row = ?", (kind_of(role, text), row))
            # Pages by embedder, those that have no vector yet among them.
            db.execute("CREATE INDEX IF NOT EXISTS pages_missing ON pages(embedder, tells) WHERE tells > 0")
            db.execute("DROP INDEX IF EXISTS pages_bare")
            # Whose a page is and what it is, without reading the page.
            db.execute("CREATE INDEX IF NOT EXISTS pages_scope ON pages(chat_id, row, tells)")
            db.execute("DROP INDEX IF EXISTS pages_chat")
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
        """Rows by BM25, best first, as ``search_kinds`` finds them.

        Args:
            words: of which a page holds at least one.
            chat_id: whose pages; empty searches all chats.
            limit: how many.
            tells: only pages that are this (``TELLS`` and so on); None: all.
        """
        if tells is not None:
            return self.search_kinds(words, chat_id, limit, (tells,))[0]
        return [row for row, _ in islice(self._found(words, chat_id), limit)]

    def search_kinds(
        self,
        words: Iterable[str],
        chat_id: str,
        limit: int,
        kinds: Sequence[int],
        within: Collection[int] | None = None,
        without: Collection[int] = (),
    ) -> list[list[int]]:
        """Rows of pages of several kinds by BM25, a list a kind, best first, in one search.

        Up to ``FREQUENT`` pages every page that holds a word is ranked. Where there are more, a page
        is ranked if it holds one of the query's rarer words (in ``FREQUENT`` pages at most), the
        rarest ``LOOKED_AT`` pages of them; words in more than ``COMMON`` pages do not count in the
        ranking. Where no word is rare, the newest ``NEWEST`` pages are ranked by how many words
        they hold.

        Args:
            words: of which a page holds at least one; the first ``LOOKED_UP`` different ones.
            chat_id: whose pages; empty searches all chats.
            limit: how many of each kind.
            kinds: what the pages are.
            within: rows that may come; None allows all.
            without: rows that may not.
        """
        found: dict[int, list[int]] = {kind: [] for kind in kinds}
        room = limit * len(found)
        for row, kind in self._found(words, chat_id):
            rows = found.get(kind)
            if rows is None or len(rows) == limit or row in without:
                continue
            if within is None or row in within:
                rows.append(row)
                room -= 1
                if not room:
                    break
        return [found[kind] for kind in kinds]

    def _found(self, words: Iterable[str], chat_id: str) -> Iterator[tuple[int, int]]:
        """(row, what it is) of pages that hold a word, best first."""
        terms = ['"' + word.replace('"', '""') + '"' for word in dict.fromkeys(words)][:LOOKED_UP]
        if not terms:
            return iter(())
        newest = int(self._all("SELECT max(row) FROM pages")[0][0] or 0)
        match = " OR ".join(terms[:MOST_WORDS])
        if newest > FREQUENT:
            counts = {term: count for term in terms if (count := self._count(term, FREQUENT))}
            terms = sorted(counts, key=lambda term: counts[term])
            rare = _within([term for term in terms if counts[term] <= FREQUENT], counts)
            frequent = [term for term in terms if counts[term] > FREQUENT][:MOST_FREQUENT]
            if not rare:
                return self._newest(frequent, newest - NEWEST, chat_id)
            counted = [term for term in frequent if self._count(term, COMMON) <= COMMON]
            match = " OR ".join(rare)
            if counted:
                match = f"({match}) AND ({' OR '.join([*rare, *counted])})"
        rows = self._all(
            "SELECT rowid FROM pages_fts WHERE pages_fts MATCH ?"
            " ORDER BY bm25(pages_fts, 1.0, 0.0), rowid DESC",
            f"text : ({match})",
        )
        return self._scoped([row for (row,) in rows], chat_id)

    def _scoped(self, rows: Sequence[int], chat_id: str) -> Iterator[tuple[int, int]]:
        """(row, what it is) of those rows that are of the chat, in their order; read as far as is asked for."""
        whose = "chat_id = ? AND " if chat_id else ""
        for start in range(0, len(rows), _AT_ONCE):
            part = rows[start : start + _AT_ONCE]
            kinds: dict[int, int] = dict(
                self._all(
                    f"SELECT row, tells FROM pages WHERE {whose}row IN ({','.join('?' * len(part))})",
                    *([chat_id] if chat_id else []),
                    *part,
                )
            )
            yield from ((row, kinds[row]) for row in part if row in kinds)

    def _newest(self, terms: Sequence[str], after: int, chat_id: str) -> Iterator[tuple[int, int]]:
        """Pages behind a row that hold frequent words, those with most of them first, newer before older."""
        held: Counter[int] = Counter()
        for term in terms:
            held.update(
                row
                for (row,) in self._all(
                    "SELECT rowid FROM pages_fts WHERE pages_fts MATCH ? AND rowid > ?", f"text : {term}", after
                )
            )
        return self._scoped(sorted(held, key=lambda row: (-held[row], -row)), chat_id)

    def _count(self, term: str, most: int) -> int:
        """Pages with a word, counted no further than to one more than ``most``."""
        return int(
            self._all(
                "SELECT count(*) FROM (SELECT 1 FROM pages_fts WHERE pages_fts MATCH ? LIMIT ?)",
                f"text : {term}",
                most + 1,
            )[0][0]
        )


def _within(terms: Sequence[str], counts: dict[str, int]) -> list[str]:
    """The first of the terms, rarest first, that stand in ``LOOKED_AT`` pages together, one at least."""
    taken: list[str] = []
    total = 0
    for term in terms[:MOST_WORDS]:
        total += counts[term]
        if taken and total > LOOKED_AT:
            break
        taken.append(term)
    return taken
