"""Full-text search over all chats (SQLite FTS5, BM25)."""

from __future__ import annotations

import re

from llmos.conversation.database import Database
from llmos.conversation.records import SearchHit, chat_from_row, message_from_row

_WORD = re.compile(r"\w+", re.UNICODE)

#: Marks around what matched, in snippets.
MATCH_OPEN, MATCH_CLOSE = "\x02", "\x03"


def match_expression(query: str, *, any_word: bool = False) -> str:
    """An FTS5 expression for what a person typed: every word, the last one as a prefix.

    Text in double quotes is searched as a phrase. Nothing in the query is read as FTS5 syntax.

    Args:
        query: what was typed.
        any_word: find messages with any of the words instead of all of them.
    """
    terms: list[str] = []
    parts = query.split('"')
    for place, part in enumerate(parts):
        words = _WORD.findall(part)
        if place % 2 and place < len(parts) - 1:
            if words:
                terms.append('"' + " ".join(words) + '"')
        else:
            terms.extend(f'"{word}"' for word in words)
    if terms and not query.rstrip().endswith('"') and query and not query[-1].isspace():
        terms[-1] += " *"
    return (" OR " if any_word else " AND ").join(terms)


class SearchMixin:
    """Search methods of the store."""

    database: Database

    def search(
        self, query: str, *, limit: int = 20, chat_id: str = "", any_word: bool = False, trash: bool = False
    ) -> list[SearchHit]:
        """Messages that match, best first.

        Args:
            query: words and "phrases"; the last word may be unfinished.
            limit: most hits.
            chat_id: only in this chat.
            any_word: any of the words, instead of all.
            trash: also in chats in the trash.
        """
        expression = match_expression(query, any_word=any_word)
        if not expression:
            return []
        where = "messages_fts MATCH ?"
        values: list[object] = [expression]
        if chat_id:
            where += " AND rowid IN (SELECT seq FROM messages WHERE chat_id = ?)"
            values.append(chat_id)
        if not trash:
            where += (
                " AND rowid NOT IN (SELECT m.seq FROM messages m JOIN chats c ON c.id = m.chat_id"
                " WHERE c.deleted_at IS NOT NULL)"
            )
        # Ranked first, looked at afterwards: snippets of all matches would cost most of the time.
        ranked = self.database.execute(
            f"SELECT rowid, rank FROM messages_fts WHERE {where} ORDER BY rank LIMIT ?", (*values, limit)
        )
        if not ranked:
            return []
        marks = ",".join("?" for _ in ranked)
        rows = self.database.execute(
            f"SELECT m.*, snippet(messages_fts, 0, char({ord(MATCH_OPEN)}), char({ord(MATCH_CLOSE)}), '…', 16)"
            " AS snippet FROM messages_fts JOIN messages m ON m.seq = messages_fts.rowid"
            f" WHERE messages_fts MATCH ? AND messages_fts.rowid IN ({marks})",
            (expression, *(row["rowid"] for row in ranked)),
        )
        scores = {row["rowid"]: row["rank"] for row in ranked}
        chats = {}
        for row in rows:
            if row["chat_id"] not in chats:
                found = self.database.execute("SELECT * FROM chats WHERE id = ?", (row["chat_id"],))
                chats[row["chat_id"]] = chat_from_row(found[0])
        return [
            SearchHit(chats[row["chat_id"]], message_from_row(row), row["snippet"], scores[row["seq"]])
            for row in sorted(rows, key=lambda row: scores[row["seq"]])
        ]
