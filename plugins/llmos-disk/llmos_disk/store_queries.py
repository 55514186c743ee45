"""What a search reads from the database."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from llmos_disk.database import Database
from llmos_disk.records import Passage, display_path

_PASSAGE = """
SELECT c.id, c.content, c.ordinal, c.title, c.heading, c.body, c.line, c.end_line, c.page, c.part,
       f.path, f.relative, f.kind, f.mtime_ns, f.folder_id, d.name, d.private, d.trusted
FROM chunks c JOIN files f ON f.content = c.content JOIN folders d ON d.id = f.folder_id
"""


class SearchQueries(Database):
    """Words, vectors and passages, within a filter."""

    def word_hits(
        self,
        expression: str,
        limit: int,
        weights: tuple[float, float, float],
        scope: str,
        values: Sequence[Any],
    ) -> list[tuple[int, float]]:
        """(chunk, score) by BM25, best first; a higher score is better.

        Args:
            expression: FTS5 query.
            scope: SQL condition on ``f`` (files) and ``d`` (folders), or empty.
            values: its values.
        """
        within = ""
        if scope:
            within = (
                "AND rowid IN (SELECT c.id FROM chunks c JOIN files f ON f.content=c.content "
                f"JOIN folders d ON d.id=f.folder_id WHERE {scope})"
            )
        rows = self.db.execute(
            f"SELECT rowid, bm25(words, ?, ?, ?) AS score FROM words WHERE words MATCH ? {within} "
            "ORDER BY score LIMIT ?",
            (*weights, expression, *values, limit),
        )
        return [(int(row[0]), -float(row[1])) for row in rows]

    def chunks_with(self, term: str, most: int) -> int:
        """In how many chunks a term (or words side by side) stands, counted up to ``most``."""
        row = self.db.execute(
            "SELECT COUNT(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT ?)", (f'"{term}"', most)
        ).fetchone()
        return int(row[0])

    def vectors_around(self, embedder_id: int, chunk_ids: Sequence[int], reach: int) -> list[tuple[int, bytes]]:
        """(chunk, vector of it or of one near it), sorted by chunk.

        Args:
            embedder_id: whose vectors.
            chunk_ids: the chunks.
            reach: how many chunks before and after count as near; only those under the same headings.
        """
        marks = ",".join("?" * len(chunk_ids))
        rows = self.db.execute(
            # CROSS JOIN keeps the order of the tables; left to itself SQLite begins with all vectors.
            "SELECT c.id, v.vector FROM chunks c CROSS JOIN chunks n ON n.content=c.content "
            "AND n.ordinal BETWEEN c.ordinal-? AND c.ordinal+? AND n.heading=c.heading "
            "CROSS JOIN vectors v ON v.embedder_id=? AND v.chunk_id=n.id "
            f"WHERE c.id IN ({marks}) ORDER BY c.id",
            (reach, reach, embedder_id, *chunk_ids),
        )
        return [(int(row[0]), bytes(row[1])) for row in rows]

    def scope_size(self, scope: str, values: Sequence[Any]) -> int:
        """Number of chunks within a filter."""
        row = self.db.execute(
            "SELECT COUNT(DISTINCT c.id) FROM chunks c JOIN files f ON f.content=c.content "
            f"JOIN folders d ON d.id=f.folder_id WHERE {scope}",
            tuple(values),
        ).fetchone()
        return int(row[0])

    def scope_vectors(self, embedder_id: int, scope: str, values: Sequence[Any]) -> list[tuple[int, bytes]]:
        """(chunk, vector) of everything within a filter."""
        rows = self.db.execute(
            "SELECT v.chunk_id, v.vector FROM vectors v WHERE v.embedder_id=? AND v.chunk_id IN "
            "(SELECT c.id FROM chunks c JOIN files f ON f.content=c.content "
            f"JOIN folders d ON d.id=f.folder_id WHERE {scope or '1'})",
            (embedder_id, *values),
        )
        return [(int(row[0]), bytes(row[1])) for row in rows]

    def chunk_ids(self, keys: Sequence[str]) -> dict[str, int]:
        """Rows of chunks by their Chroma ids; ids that are not known any more are left out."""
        found: dict[str, int] = {}
        for key in keys:
            content, _, ordinal = key.rpartition(":")
            row = self.db.execute(
                "SELECT id FROM chunks WHERE content=? AND ordinal=?", (content, ordinal)
            ).fetchone()
            if row:
                found[key] = int(row[0])
        return found

    def passages(
        self, chunk_ids: Sequence[int], scope: str = "", values: Sequence[Any] = ()
    ) -> dict[int, Passage]:
        """Chunks with their files; those that no file holds (any more, or within the filter) are left out."""
        if not chunk_ids:
            return {}
        marks = ",".join("?" * len(chunk_ids))
        condition = f" AND ({scope})" if scope else ""
        rows = self.db.execute(
            f"{_PASSAGE} WHERE c.id IN ({marks}){condition} ORDER BY c.id, f.id", (*chunk_ids, *values)
        )
        return _as_passages(rows)

    def passages_of_file(self, path: bytes) -> list[Passage]:
        """Every chunk of one file, in order."""
        rows = self.db.execute(f"{_PASSAGE} WHERE f.path=? ORDER BY c.ordinal", (path,))
        return list(_as_passages(rows).values())


def _as_passages(rows: Iterable[Sequence[Any]]) -> dict[int, Passage]:
    found: dict[int, Passage] = {}
    for r in rows:
        number = int(r[0])
        if number in found:
            before = found[number]
            found[number] = dataclasses.replace(before, others=(*before.others, display_path(bytes(r[10]))))
            continue
        found[number] = Passage(
            *(number, f"{r[1]}:{r[2]}", r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9]),
            *(bytes(r[10]), r[11], r[12], r[13], r[14], r[15], bool(r[16]), bool(r[17])),
        )
    return found
