"""The page fault: which evicted pages come back for the user's text, and in which order.

BM25 and embeddings are fused by rank (Cormack et al. 2009, reciprocal rank fusion); there is no
absolute score gate, since scores of small models do not compare between questions. The budget
alone bounds what comes. What tells something and what only asks or answers are ranked apart:
earlier questions resemble a question more than any fact does, and would fill the places before it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from llmos_ram.store import RamStore, StoredPage
from llmos_ram.vectors import ChatVectors
from llmos_ram.words import ANSWERS, TELLS, About, about, content_words, renews

#: Rank constant of the fusion: small, so that the first places of either list weigh most.
RRF_K = 10
#: How many of each list enter the fusion.
DEPTH = 50
#: Pages that follow the best one are brought while their fused score is at least this share of it.
FLOOR = 0.4
#: A question or an answer seldom holds what is looked for.
QUESTION_WEIGHT = 0.35
#: Words count so much more than meaning where the text names something by digits: a key, a date, a part.
IDENTIFIER_WEIGHT = 3.0
#: Among so many of the best, newer versions of a fact are looked for.
VERSIONS_AMONG = 24


@dataclass(frozen=True, slots=True)
class Recalled:
    """A page to bring back and why."""

    page: StoredPage
    score: float
    reason: str


def fuse(
    rankings: Sequence[Sequence[int]], k: int = RRF_K, weights: Sequence[float] = (1.0, 1.0)
) -> dict[int, float]:
    """Reciprocal rank fusion of two lists of rows, each best first, with a weight each."""
    scores: dict[int, float] = {}
    for ranking, weight in zip(rankings, weights, strict=True):
        for rank, row in enumerate(ranking):
            scores[row] = scores.get(row, 0.0) + weight / (k + rank + 1)
    return scores


def newer_first(found: Sequence[Recalled]) -> list[Recalled]:
    """Keep the order, but a newer version of a fact comes right before the older one, and counts as much."""
    out: list[Recalled] = []
    told: list[About | None] = []  # beside ``out``: what may have versions, and what it is about
    for one in found:
        place = len(out)
        own = about(one.page.text) if one.page.tells == TELLS and place < VERSIONS_AMONG else None
        if own is not None:
            for at, other in enumerate(told):
                if other is not None and out[at].page.row < one.page.row and renews(own, other):
                    one = replace(one, score=max(one.score, out[at].score))
                    place = at
                    break
        out.insert(place, one)
        told.insert(place, own)
    return out


def search(
    store: RamStore,
    text: str,
    *,
    chat_id: str,
    vectors: ChatVectors | None = None,
    query_vector: Callable[[], np.ndarray] | None = None,
    without: Collection[int] = (),
    within: Collection[int] | None = None,
    limit: int = 20,
) -> list[Recalled]:
    """Pages that may hold what the text asks for, best first, newer versions before older ones.

    Args:
        store: the indexed pages.
        text: the user's text or the model's query.
        chat_id: whose pages; empty for all chats.
        vectors: vectors of the same pages; None searches by words alone.
        query_vector: gives the normalised vector of ``text`` [width]; asked for when the words are searched.
        without: rows that are not looked for.
        within: rows that may come (the chat's current branch); None allows all.
        limit: at most this many.
    """
    terms = content_words(text)
    names = any(letter.isdigit() for term in terms for letter in term)
    weights = (IDENTIFIER_WEIGHT, 1.0) if names else (1.0, 1.0)
    scores: dict[int, float] = {}
    by_words: set[int] = set()
    by_meaning: set[int] = set()
    kinds = (TELLS, ANSWERS)
    told = store.search_kinds(terms, chat_id, DEPTH, kinds, within, without)
    vector = query_vector() if vectors is not None and query_vector is not None else None
    for tells, weight, words in zip(kinds, (1.0, QUESTION_WEIGHT), told, strict=True):
        near: list[int] = []
        if vectors is not None and vector is not None:
            near = vectors.nearest(vector, DEPTH + len(without), tells)
            near = [row for row in near if row not in without and (within is None or row in within)][:DEPTH]
        by_words.update(words)
        by_meaning.update(near)
        scores.update({row: weight * score for row, score in fuse((words, near), weights=weights).items()})
    best = sorted(scores, key=lambda row: (-scores[row], -row))[: max(limit, VERSIONS_AMONG)]
    pages = store.pages(best)
    found: list[Recalled] = []
    for row in best:
        if row in pages:
            both = row in by_words and row in by_meaning
            how = "words and meaning" if both else "words" if row in by_words else "meaning"
            found.append(Recalled(pages[row], scores[row], f"recalled: its {how} match your message"))
    return newer_first(found)[:limit]


def within_budget(
    found: Sequence[Recalled],
    budget: int,
    length: Callable[[StoredPage], int],
    *,
    present: Collection[int] = (),
    limit: int = 20,
) -> list[Recalled]:
    """The best that fit into ``budget`` tokens together, and those of them that are in the window.

    Args:
        found: best first.
        budget: tokens.
        length: tokens of a page.
        present: rows in the window: they cost nothing, and what they supersede stays away, for it
            would stand behind them.
        limit: at most this many.
    """
    taken: list[Recalled] = []
    best = max((one.score for one in found), default=0.0)
    left = budget
    newer = [
        (one.page.row, about(one.page.text))
        for one in found
        if one.page.row in present and one.page.tells == TELLS
    ]
    for one in found:
        if len(taken) == limit:
            break
        if one.score < FLOOR * best:
            continue
        if one.page.row in present:
            taken.append(one)
            continue
        if one.page.tells == TELLS and newer:
            own = about(one.page.text)
            if any(row > one.page.row and renews(other, own) for row, other in newer):
                continue
        tokens = length(one.page)
        if tokens <= left:
            taken.append(one)
            left -= tokens
    return taken
