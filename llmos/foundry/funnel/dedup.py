"""Exact and near-duplicate removal."""

from __future__ import annotations

import hashlib
import re
from typing import Any

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
    """MinHash signatures of word 5-grams in a locality-sensitive index (datasketch).

    Passages under 30 words are left to the exact filter: two dictionary entries that share most of
    their few words are still two entries.
    """

    def __init__(self, threshold: float = 0.7, permutations: int = 64) -> None:
        from datasketch import MinHashLSH

        self.threshold, self.permutations = threshold, permutations
        self._index: Any = MinHashLSH(threshold=threshold, num_perm=permutations)
        self._count = 0

    def seen(self, text: str) -> bool:
        """Whether a passage much like this one came before; if not, it is remembered."""
        words = text.lower().split()
        if len(words) < 30:
            return False
        from datasketch import MinHash

        signature = MinHash(num_perm=self.permutations, seed=1)
        grams = {" ".join(words[i : i + 5]).encode() for i in range(len(words) - 4)}
        signature.update_batch(list(grams))
        if self._index.query(signature):
            return True
        self._index.insert(self._count, signature)
        self._count += 1
        return False
