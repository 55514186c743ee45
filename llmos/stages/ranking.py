"""Ranking passages for a query: by cosine of vectors, or by words (BM25) where nothing embeds."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_WORD = re.compile(r"\w+")
#: BM25's constants (Robertson and Zaragoza 2009).
_K1, _B = 1.2, 0.75


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage that may be brought into the window.

    Attributes:
        source: file that it is from.
        heading: above it.
        text: the passage.
    """

    source: str
    heading: str
    text: str


#: A made-up colony, so that no model can know the answers from its training.
ARES_BASE: tuple[Passage, ...] = (
    Passage("charter.md", "Founding",
            "Ares Base was founded in 2031. Three ships landed on the plain of Arcadia within one week."),
    Passage("census.md", "People",
            "The last count found 312 colonists at Ares Base. Most are engineers, and forty are children."),
    Passage("map.md", "Places",
            "The capital of Ares Base is New Houston. The council meets there under a dome of glass and ice."),
    Passage("supplies.md", "Food and power",
            "Six greenhouses of Ares Base grow potatoes and lentils. A small reactor gives light and heat."),
)  # fmt: skip


def words_of(text: str) -> list[str]:
    """Words of a text in small letters."""
    return [word.casefold() for word in _WORD.findall(text)]


def bm25(query: str, texts: Sequence[str]) -> list[float]:
    """Score of every text for a query by its words (Okapi BM25).

    Args:
        query: what is asked.
        texts: passages.
    """
    rows = [words_of(text) for text in texts]
    mean = sum(map(len, rows)) / len(rows) if rows else 0.0
    found = Counter(word for row in rows for word in set(row))
    scores = []
    for row in rows:
        counts, score = Counter(row), 0.0
        for word in set(words_of(query)):
            rarity = math.log(1 + (len(rows) - found[word] + 0.5) / (found[word] + 0.5))
            length = _K1 * (1 - _B + _B * len(row) / (mean or 1.0))
            score += rarity * counts[word] * (_K1 + 1) / (counts[word] + length) if counts[word] else 0.0
        scores.append(score)
    return scores


def word_vectors(texts: Sequence[str]) -> list[list[float]]:
    """A vector a text from its words, rare ones weighing more (tf-idf, normalised)."""
    rows = [Counter(words_of(text)) for text in texts]
    vocabulary = sorted({word for row in rows for word in row})
    found = Counter(word for row in rows for word in row)
    vectors = []
    for row in rows:
        vector = [row[word] * math.log((1 + len(rows)) / (1 + found[word]) + 1) for word in vocabulary]
        norm = math.sqrt(sum(value * value for value in vector)) or 1.0
        vectors.append([value / norm for value in vector])
    return vectors


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """Cosine of two vectors, 0 where one of them is nothing."""
    norms = math.sqrt(sum(a * a for a in one) * sum(b * b for b in other))
    return sum(a * b for a, b in zip(one, other, strict=True)) / norms if norms else 0.0


def flat(vectors: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """Vectors on a plane by their two principal components.

    Args:
        vectors: at least one, all of one width.
    """
    import numpy as np

    matrix: Any = np.asarray(vectors, dtype=np.float64)
    centred = matrix - matrix.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    placed = centred @ axes[:2].T
    if placed.shape[1] < 2:
        placed = np.pad(placed, ((0, 0), (0, 2 - placed.shape[1])))
    return [(float(x), float(y)) for x, y in placed]
