"""Vectors of one chat's pages, held in memory and grown in place; the nearest are found in two steps.

Among few pages every cosine is computed. Among many, the signs of the components choose: those pages
whose signs agree with the query's in most places, as one machine instruction compares 64 of them.
Only their cosines are computed. This is approximate: a near page whose signs disagree is missed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from llmos_ram.store import RamStore

#: Pages of one kind whose cosines are computed: all of them up to so many, else those chosen by signs.
CANDIDATES = 512


class ChatVectors:
    """A matrix [rows, width] of normalised vectors (float16) that grows by half.

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
        self._signs = signs(matrix)
        self._size = len(rows)

    def __len__(self) -> int:
        return self._size

    def add(self, rows: Sequence[int], vectors: np.ndarray, tells: Sequence[int]) -> None:
        """Append vectors [rows, width] with what their pages are (``words.TELLS`` and so on)."""
        need = self._size + len(rows)
        if need > len(self._rows):
            room = max(64, need + need // 2)
            self._rows = _grown(self._rows, self._size, (room,))
            self._tells = _grown(self._tells, self._size, (room,))
            self._matrix = _grown(self._matrix, self._size, (room, vectors.shape[1]))
            wide = np.zeros((-(-vectors.shape[1] // 64), room), dtype=np.uint64)
            if self._size:
                wide[:, : self._size] = self._signs[:, : self._size]
            self._signs = wide
        self._matrix[self._size : need] = vectors
        self._signs[:, self._size : need] = signs(vectors)
        self._rows[self._size : need] = rows
        self._tells[self._size : need] = tells
        self._size = need  # last: who reads meanwhile sees whole rows only

    def nearest(self, query: np.ndarray, limit: int, tells: int) -> list[int]:
        """Rows of the nearest pages of one kind by cosine, nearest first.

        Args:
            query: normalised vector [width].
            limit: how many.
            tells: what the pages are.
        """
        size = self._size
        places = np.flatnonzero(self._tells[:size] == tells)
        if not len(places):
            return []
        most = max(CANDIDATES, limit)
        if len(places) > most:
            apart = _disagreeing(self._signs[:, :size], query)[places]
            # Of pages that agree alike the newer ones: the places are in the order of their telling.
            order = apart.astype(np.int64) * size + (size - 1 - places)
            places = places[np.argpartition(order, most - 1)[:most]]
            places.sort()
        # Not a product of BLAS: its threads would wait for a core that the model's may have.
        cosines = np.einsum("ij,j->i", self._matrix[places].astype(np.float32), query)
        best = np.argsort(-cosines, kind="stable")[:limit]
        return [int(row) for row in self._rows[places[best]]]


def signs(vectors: np.ndarray) -> np.ndarray:
    """Signs of vectors [rows, width], 64 a word: [words, rows]."""
    rows, width = vectors.shape
    if not rows or not width:
        return np.zeros((-(-width // 64), rows), dtype=np.uint64)
    packed = np.packbits(vectors > 0, axis=1)
    whole = np.zeros((rows, -(-width // 64) * 8), dtype=np.uint8)
    whole[:, : packed.shape[1]] = packed
    return np.ascontiguousarray(whole.view(np.uint64).T)


def _disagreeing(held: np.ndarray, query: np.ndarray) -> np.ndarray:
    """[rows] in how many places the signs of held vectors [words, rows] differ from the query's."""
    wanted = signs(query[None])[:, 0]
    total = np.zeros(held.shape[1], dtype=np.uint16)
    for word, own in zip(held, wanted, strict=True):
        total += np.bitwise_count(word ^ own)
    return total


def _grown(array: np.ndarray, size: int, shape: tuple[int, ...]) -> np.ndarray:
    """The first ``size`` rows of an array in a larger one."""
    bigger = np.zeros(shape, dtype=array.dtype)
    if size:
        bigger[:size] = array[:size]
    return bigger
