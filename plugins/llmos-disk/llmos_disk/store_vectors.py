"""Embedders and the vectors they made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from llmos_disk.database import Database


class VectorTables(Database):
    """Tables ``embedders`` and ``vectors``."""

    def embedder(self, name: str, width: int) -> int:
        """Row of an embedder, created when new; the very first becomes the active one."""
        with self.writing() as db:
            row = db.execute("SELECT id FROM embedders WHERE name=?", (name,)).fetchone()
            if row:
                return int(row[0])
            first = db.execute("SELECT COUNT(*) FROM embedders WHERE active=1").fetchone()[0] == 0
            cursor = db.execute(
                "INSERT INTO embedders(name, width, active) VALUES (?,?,?)", (name, width, first)
            )
            return int(cursor.lastrowid or 0)

    def active_embedder(self) -> tuple[int, str, int] | None:
        """(row, name, width) of the embedder whose vectors serve searches."""
        row = self.db.execute("SELECT id, name, width FROM embedders WHERE active=1").fetchone()
        return (int(row[0]), str(row[1]), int(row[2])) if row else None

    def activate(self, embedder_id: int) -> list[int]:
        """Let an embedder serve; returns the rows of those that no longer do."""
        with self.writing() as db:
            others = [r[0] for r in db.execute("SELECT id FROM embedders WHERE id<>?", (embedder_id,))]
            db.execute("UPDATE embedders SET active = (id = ?)", (embedder_id,))
        return others

    def drop_embedder(self, embedder_id: int) -> None:
        """Forget an embedder and its vectors."""
        with self.writing() as db:
            db.execute("DELETE FROM vectors WHERE embedder_id=?", (embedder_id,))
            db.execute("DELETE FROM embedders WHERE id=?", (embedder_id,))

    def without_vector(self, embedder_id: int, limit: int) -> list[tuple[int, str, str, str, str]]:
        """(chunk, key, title, heading, body) of chunks that this embedder has not seen."""
        return [
            (int(r[0]), f"{r[1]}:{r[2]}", r[3], r[4], r[5])
            for r in self.db.execute(
                "SELECT id, content, ordinal, title, heading, body FROM chunks c WHERE NOT EXISTS "
                "(SELECT 1 FROM vectors v WHERE v.chunk_id=c.id AND v.embedder_id=?) ORDER BY id LIMIT ?",
                (embedder_id, limit),
            )
        ]

    def count_without_vector(self, embedder_id: int) -> int:
        """How many chunks this embedder has not seen."""
        return int(
            self.db.execute(
                "SELECT (SELECT COUNT(*) FROM chunks) - (SELECT COUNT(*) FROM vectors WHERE embedder_id=?)",
                (embedder_id,),
            ).fetchone()[0]
        )

    def add_vectors(self, embedder_id: int, vectors: Iterable[tuple[int, bytes]]) -> None:
        """Store float16 vectors of chunks."""
        with self.writing() as db:
            db.executemany(
                "INSERT OR REPLACE INTO vectors VALUES (?,?,?)",
                [(embedder_id, chunk, vector) for chunk, vector in vectors],
            )

    def vector_pages(self, embedder_id: int, size: int = 1_000) -> Iterator[list[tuple[str, bytes]]]:
        """(key, vector) of all chunks, in pages, for rebuilding Chroma."""
        last = -1
        while True:
            rows = self.db.execute(
                "SELECT v.chunk_id, c.content, c.ordinal, v.vector FROM vectors v JOIN chunks c "
                "ON c.id=v.chunk_id WHERE v.embedder_id=? AND v.chunk_id>? ORDER BY v.chunk_id LIMIT ?",
                (embedder_id, last, size),
            ).fetchall()
            if not rows:
                return
            last = int(rows[-1][0])
            yield [(f"{r[1]}:{r[2]}", bytes(r[3])) for r in rows]

    def vectors_of(self, embedder_id: int, chunk_ids: Sequence[int]) -> dict[int, bytes]:
        """Vectors of some chunks."""
        marks = ",".join("?" * len(chunk_ids))
        rows = self.db.execute(
            f"SELECT chunk_id, vector FROM vectors WHERE embedder_id=? AND chunk_id IN ({marks})",
            (embedder_id, *chunk_ids),
        )
        return {int(row[0]): bytes(row[1]) for row in rows}

    def sample_vectors(self, embedder_id: int, count: int) -> list[tuple[str, bytes]]:
        """Some (key, vector) of finished text, spread over the index, for the health probe."""
        found: dict[str, bytes] = {}
        highest = int(self.db.execute("SELECT COALESCE(MAX(id), 0) FROM chunks").fetchone()[0])
        for step in range(count):
            row = self.db.execute(
                "SELECT c.content, c.ordinal, v.vector FROM vectors v JOIN chunks c ON c.id=v.chunk_id "
                "JOIN contents t ON t.id=c.content WHERE v.embedder_id=? AND t.done=1 AND v.chunk_id>=? "
                "ORDER BY v.chunk_id LIMIT 1",
                (embedder_id, highest * step // count),
            ).fetchone()
            if row:
                found[f"{row[0]}:{row[1]}"] = bytes(row[2])
        return list(found.items())
