"""Vectors of one chat's pages, held in memory and grown in place."""

from __future__ import annotations

from collections.abc import Sequence

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
        rows, matrix, tells = store.vectors(chat_id, embedder)
        self.embedder = embedder
        self._rows = np.asarray(rows, dtype=np.int64)
        self._tells = np.asarray(tells, dtype=np.int8)
        self._matrix = matrix
        self._size = len(rows)

    def __len__(self) -> int:
        return self._size

    def add(self, rows: Sequence[int], vectors: np.ndarray, tells: Sequence[int]) -> None:
        """Append vectors [rows, width] with what their pages are (``words.TELLS`` and so on)."""
        need = self._size + len(rows)
        if need > len(self._rows):
            grown = max(64, need + need // 2)
            bigger = np.zeros((grown, vectors.shape[1]), dtype=np.float32)
            if self._size:
                bigger[: self._size] = self._matrix[: self._size]
            self._rows = np.concatenate([self._rows[: self._size], np.zeros(grown - self._size, np.int64)])
            self._tells = np.concatenate([self._tells[: self._size], np.zeros(grown - self._size, np.int8)])
            self._matrix = bigger
        self._matrix[self._size : need] = vectors
        self._rows[self._size : need] = rows
        self._tells[self._size : need] = tells
        self._size = need

    def scores(self, query: np.ndarray) -> np.ndarray:
        """Cosines [rows] with a normalised vector [width]."""
        if not self._size:
            return np.zeros(0, dtype=np.float32)
        return np.asarray(self._matrix[: self._size] @ query)

    def nearest(self, scores: np.ndarray, limit: int, tells: int) -> list[int]:
        """Rows of the nearest pages of one kind, nearest first.

        Args:
            scores: from ``scores``; pages that came since then are left out.
            limit: how many.
            tells: what the pages are.
        """
        places = np.flatnonzero(self._tells[: len(scores)] == tells)
        if not len(places):
            return []
        cosines = scores[places]
        want = min(len(places), limit)
        best = np.argpartition(-cosines, want - 1)[:want]
        best = best[np.argsort(-cosines[best], kind="stable")]
        return [int(row) for row in self._rows[places[best]]]
