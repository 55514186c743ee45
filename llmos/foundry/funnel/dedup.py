"""Exact and near-duplicate removal."""

from __future__ import annotations

import hashlib
import re

from llmos.foundry.funnel.minhash import AlikeIndex, MinHash

_SPACE = re.compile(r"\s+")


def fingerprint(text: str) -> bytes:
    """Hash of a passage that ignores case and spacing."""
    return hashlib.blake2b(_SPACE.sub(" ", text).strip().lower().encode(), digest_size=12).digest()


class ExactDuplicates:
    """Remembers every passage it has seen."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def seen(self, text: str) -> bool:
        """Whether the same passage came before; it is remembered from now on."""
        key = fingerprint(text)
        if key in self._seen:
            return True
        self._seen.add(key)
        return False


class NearDuplicates:
    """MinHash signatures of word 5-grams in an index by bands.

    Passages under 30 words are left to the exact filter: two dictionary entries that share most of
    their few words are still two entries.
    """

    def __init__(self, threshold: float = 0.7, permutations: int = 64) -> None:
        self.threshold, self.permutations = threshold, permutations
        self._hash = MinHash(permutations)
        self._index = AlikeIndex(threshold, permutations)

    def seen(self, text: str) -> bool:
        """Whether a passage much like this one came before; if not, it is remembered."""
        words = text.lower().split()
        if len(words) < 30:
            return False
        signature = self._hash.signature({" ".join(words[i : i + 5]).encode() for i in range(len(words) - 4)})
        if self._index.holds(signature):
            return True
        self._index.add(signature)
        return False
