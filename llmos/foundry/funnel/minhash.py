"""MinHash: how alike two sets of word groups are, from a few numbers, and an index that finds alike ones.

numpy alone. Signatures and bands are those of datasketch 2 (``affine32``), so that the recorded funnel can be
repeated; that package is not needed, for it brings scipy, which is larger than this whole program.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Signature = npt.NDArray[np.uint32]


class MinHash:
    """Makes signatures: for each of several orders of all hashes, the first that a set holds.

    Args:
        permutations: numbers in a signature.
        seed: of the orders.
    """

    def __init__(self, permutations: int, seed: int = 1) -> None:
        draw = np.random.RandomState(seed)
        # h → a·h + b modulo 2³² is a permutation of all hashes because a is odd.
        self._a = draw.randint(0, 1 << 31, permutations, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
        self._b = draw.randint(0, 1 << 32, permutations, dtype=np.uint32)

    def signature(self, items: Iterable[bytes]) -> Signature:
        """[permutations]; two signatures agree in about the share that the sets have in common."""
        digests = b"".join(hashlib.sha1(item, usedforsecurity=False).digest()[:4] for item in items)
        hashes = _mixed(np.frombuffer(digests, dtype="<u4").astype(np.uint32))
        smallest = np.full(len(self._a), np.iinfo(np.uint32).max, dtype=np.uint32)
        for begin in range(0, len(hashes), 4096):
            block = hashes[begin : begin + 4096, None] * self._a + self._b
            smallest = np.minimum(smallest, block.min(axis=0))
        return smallest


def _mixed(hashes: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """The finalizer of MurmurHash3: bits that are close no longer stay close."""
    hashes = (hashes ^ (hashes >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    hashes = (hashes ^ (hashes >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return hashes ^ (hashes >> np.uint32(16))


class AlikeIndex:
    """Tells whether a signature much like a given one was added before.

    Signatures are cut into bands; two that agree in one whole band count as alike.

    Args:
        threshold: share in common from which two sets are alike.
        permutations: numbers in a signature.
    """

    def __init__(self, threshold: float, permutations: int) -> None:
        self.bands, self.rows = best_bands(threshold, permutations)
        self._seen: list[set[bytes]] = [set() for _ in range(self.bands)]

    def holds(self, signature: Signature) -> bool:
        """Whether one like it was added."""
        return any(key in seen for seen, key in zip(self._seen, self._keys(signature), strict=True))

    def add(self, signature: Signature) -> None:
        """Remember it."""
        for seen, key in zip(self._seen, self._keys(signature), strict=True):
            seen.add(key)

    def _keys(self, signature: Signature) -> list[bytes]:
        rows = self.rows
        return [signature[band * rows : (band + 1) * rows].tobytes() for band in range(self.bands)]


def best_bands(threshold: float, permutations: int) -> tuple[int, int]:
    """(bands, rows of a band) with the fewest wrong answers to both sides of a threshold."""
    alike = np.linspace(0.0, 1.0, 2001)
    below, above = alike <= threshold, alike >= threshold
    best, found = np.inf, (1, permutations)
    for bands in range(1, permutations + 1):
        for rows in range(1, permutations // bands + 1):
            taken = 1 - (1 - alike**rows) ** bands
            wrong = float(
                np.trapezoid(taken[below], alike[below]) + np.trapezoid(1 - taken[above], alike[above])
            )
            if wrong < best:
                best, found = wrong, (bands, rows)
    return found
