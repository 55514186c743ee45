"""Vectors of one chat's pages, held in memory and grown in place."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from llmos_ram.store import RamStore


class ChatVectors:
    """A matrix [rows, width] of normalised vectors that grows by doubling.

    Args:
        store: where vectors are kept.
        chat_id: whose pages; empty for all chats.
        embedder: vectors of another embedder are not comparable and stay out.
    """

    def __init__(self, store: RamStore, chat_id: str, embedder: str) -> None:
        rows, matrix = store.vectors(chat_id, embedder)
        self.embedder = embedder
        self._rows = np.asarray(rows, dtype=np.int64)
        self._matrix = matrix
        self._size = len(rows)

    def __len__(self) -> int:
        return self._size

    def add(self, rows: Sequence[int], vectors: np.ndarray) -> None:
        """Append vectors [rows, width]."""
        need = self._size + len(rows)
        if need > len(self._rows):
            grown = max(64, 2 * need)
            bigger = np.zeros((grown, vectors.shape[1]), dtype=np.float32)
            row_numbers = np.zeros(grown, dtype=np.int64)
            if self._size:
                bigger[: self._size] = self._matrix[: self._size]
                row_numbers[: self._size] = self._rows[: self._size]
            self._matrix, self._rows = bigger, row_numbers
        self._matrix[self._size : need] = vectors
        self._rows[self._size : need] = rows
        self._size = need

    def nearest(self, query: np.ndarray, limit: int, without: Collection[int] = ()) -> list[tuple[int, float]]:
        """(row, cosine) of the nearest pages, nearest first.

        Args:
            query: normalised vector [width].
            limit: how many.
            without: rows to leave out, for example those in the window.
        """
        if not self._size:
            return []
        scores = self._matrix[: self._size] @ query
        want = min(self._size, limit + len(without))
        best = np.argpartition(-scores, want - 1)[:want]
        best = best[np.argsort(-scores[best], kind="stable")]
        out = [(int(self._rows[index]), float(scores[index])) for index in best]
        return [(row, score) for row, score in out if row not in without][:limit]
