"""Runs all filters in order and keeps the account: what went in, what came out, and why."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from llmos.foundry.funnel.dedup import ExactDuplicates, NearDuplicates
from llmos.foundry.funnel.filters import BLOCKED_HOSTS, RULES, blocked_host
from llmos.foundry.funnel.pii import redact
from llmos.foundry.funnel.sources import Document

#: Share of passages that training never sees, for the bits per byte of every source.
HELD_OUT = 0.01


@dataclass
class StageCount:
    """What one filter saw and dropped (documents and bytes)."""

    name: str
    documents_in: int = 0
    documents_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def note(self, size_in: int, size_out: int | None, reason: str | None) -> None:
        """Count one document; ``size_out`` is None when it was dropped."""
        self.documents_in += 1
        self.bytes_in += size_in
        if reason:
            self.reasons[reason] += 1
        if size_out is not None:
            self.documents_out += 1
            self.bytes_out += size_out

    def to_dict(self) -> dict[str, Any]:
        """For the record; ``idle`` says that the filter had nothing to do on this corpus."""
        idle = not self.reasons and self.bytes_in == self.bytes_out
        return {
            "name": self.name,
            "documents_in": self.documents_in,
            "documents_out": self.documents_out,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "reasons": dict(self.reasons.most_common()),
            "idle": idle,
        }


@dataclass(frozen=True)
class Passage:
    """What comes out: clean text, its source, and whether it is held out from training."""

    source: str
    text: str
    held_out: bool


def is_held_out(text: str, share: float = HELD_OUT) -> bool:
    """Decided by the text's own hash, so that it never depends on order or other documents."""
    digest = hashlib.blake2b(text.encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") < share * 2**32


def extract(html: str) -> str | None:
    """Main text of a web page."""
    import trafilatura

    text: str | None = trafilatura.extract(html, include_comments=False, include_tables=False)
    return text


def language_reason(text: str) -> str | None:
    """Why a passage is not English, if it is not; short ones are not judged."""
    if len(text) < 200:
        return None
    import py3langid  # type: ignore[import-not-found,unused-ignore]

    language = py3langid.classify(text[:1500])[0]
    return None if language == "en" else f"language_{language}"


class Funnel:
    """The whole funnel; iterate ``run`` and read ``stages`` afterwards."""

    def __init__(self, blocked: Iterable[str] = BLOCKED_HOSTS, near_threshold: float = 0.7) -> None:
        self._exact, self._near = ExactDuplicates(), NearDuplicates(near_threshold)
        self._blocked = frozenset(blocked)
        self.redacted: Counter[str] = Counter()
        self.stages: dict[str, StageCount] = {}
        self.by_source: dict[str, Counter[str]] = {}
        names = ("host", "extract", "language", *(n for n, _ in RULES), "exact", "near", "pii")
        for name in names:
            self.stages[name] = StageCount(name)

    def run(self, documents: Iterable[Document]) -> Iterator[Passage]:
        """Pass documents through, yielding the survivors."""
        for document in documents:
            account = self.by_source.setdefault(document.source, Counter())
            account["documents_in"] += 1
            account["bytes_in"] += len(document.text.encode())
            text = self._pass(document)
            if text is None:
                continue
            held_out = is_held_out(text)
            account["documents_out"] += 1
            account["bytes_out"] += len(text.encode())
            account["held_out"] += held_out
            yield Passage(document.source, text, held_out)

    def _pass(self, document: Document) -> str | None:
        text = document.text
        if not self._keep("host", text, blocked_host(document.url, self._blocked)):
            return None
        extracted = extract(text) if document.html else text.strip()
        size = len(text.encode())
        if not extracted:
            self.stages["extract"].note(size, None, "nothing_extracted" if text else "empty")
            return None
        self.stages["extract"].note(size, len(extracted.encode()), None)
        text = extracted
        checks: list[tuple[str, Callable[[str], str | None]]] = [("language", language_reason), *RULES]
        for name, rule in checks:
            if not self._keep(name, text, rule(text)):
                return None
        if not self._keep("exact", text, "exact_duplicate" if self._exact.seen(text) else None):
            return None
        if not self._keep("near", text, "near_duplicate" if self._near.seen(text) else None):
            return None
        clean, found = redact(text)
        self.redacted.update(found)
        self.stages["pii"].note(len(text.encode()), len(clean.encode()), None)
        return clean

    def _keep(self, name: str, text: str, reason: str | None) -> bool:
        size = len(text.encode())
        self.stages[name].note(size, None if reason else size, reason)
        return reason is None

    def report(self) -> dict[str, Any]:
        """All counts, for the record."""
        return {
            "stages": [s.to_dict() for s in self.stages.values()],
            "redacted": dict(self.redacted.most_common()),
            "sources": {name: dict(count) for name, count in sorted(self.by_source.items())},
        }
