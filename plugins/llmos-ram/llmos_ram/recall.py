"""The page fault: which evicted pages come back for the user's text, and in which order.

BM25 and embeddings are fused by rank (Cormack et al. 2009, reciprocal rank fusion); there is no
absolute score gate, since scores of small models do not compare between questions. The budget
alone bounds what comes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from llmos_ram.store import RamStore, StoredPage
from llmos_ram.vectors import ChatVectors
from llmos_ram.words import content_words, is_question, is_small_talk, same_subject, subject_of

#: Rank constant of the fusion: small, so that the first places of either list weigh most.
RRF_K = 10
#: How many of each list enter the fusion.
DEPTH = 50
#: Pages that follow the best one are brought while their fused score is at least this share of it.
FLOOR = 0.4
#: A question or an idle remark seldom holds what is looked for.
QUESTION_WEIGHT = 0.35


@dataclass(frozen=True, slots=True)
class Recalled:
    """A page to bring back and why."""

    page: StoredPage
    score: float
    reason: str


def fuse(rankings: Sequence[Sequence[int]], k: int = RRF_K) -> dict[int, float]:
    """Reciprocal rank fusion of lists of rows, each best first."""
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, row in enumerate(ranking):
            scores[row] = scores.get(row, 0.0) + 1.0 / (k + rank + 1)
    return scores


def newer_first(pages: Sequence[Recalled]) -> list[Recalled]:
    """Keep the order, but where two pages are about one subject the newer comes first."""
    out: list[Recalled] = []
    subjects: dict[int, frozenset[str]] = {one.page.row: subject_of(one.page.text) for one in pages}
    for one in pages:
        place = len(out)
        for index, other in enumerate(out):
            newer = one.page.row > other.page.row
            if newer and same_subject(subjects[one.page.row], subjects[other.page.row]):
                place = index
                break
        out.insert(place, one)
    return out


def search(
    store: RamStore,
    text: str,
    *,
    chat_id: str,
    vectors: ChatVectors | None = None,
    query_vector: np.ndarray | None = None,
    without: Collection[int] = (),
    within: Collection[int] | None = None,
    limit: int = 20,
) -> list[Recalled]:
    """Pages that may hold what the text asks for, best first.

    Args:
        store: the indexed pages.
        text: the user's text or the model's query.
        chat_id: whose pages; empty for all chats.
        vectors: vectors of the same pages; None searches by words alone.
        query_vector: normalised vector of ``text`` [width].
        without: rows already in the window.
        within: rows that may come (the chat's current branch); None allows all.
        limit: at most this many.
    """
    words = [
        row
        for row in store.search_words(content_words(text), chat_id, DEPTH + len(without))
        if row not in without
    ]
    dense: list[int] = []
    if vectors is not None and query_vector is not None:
        dense = [row for row, _ in vectors.nearest(query_vector, DEPTH, without)]
    if within is not None:
        words = [row for row in words if row in within]
        dense = [row for row in dense if row in within]
    scores = fuse([words[:DEPTH], dense[:DEPTH]])
    if not scores:
        return []
    pages = store.pages(list(scores))
    in_words, in_dense = set(words[:DEPTH]), set(dense[:DEPTH])
    found: list[Recalled] = []
    for row, score in scores.items():
        page = pages.get(row)
        if page is None or is_small_talk(page.text):
            continue
        if page.role == "assistant" or is_question(page.text):
            score *= QUESTION_WEIGHT
        how = (
            "words and meaning"
            if row in in_words and row in in_dense
            else "words"
            if row in in_words
            else "meaning"
        )
        found.append(Recalled(page, score, f"recalled: its {how} match your message"))
    found.sort(key=lambda one: (-one.score, -one.page.row))
    return found[:limit]


def within_budget(
    found: Sequence[Recalled],
    budget: int,
    count_tokens: Callable[[str], int],
    counted: Mapping[int, int] | None = None,
) -> list[Recalled]:
    """The best that fit into ``budget`` tokens, newer ones first where they are about one subject.

    Args:
        found: best first.
        budget: tokens.
        count_tokens: length of a text in tokens.
        counted: lengths known already, by row.
    """
    if not found:
        return []
    best = found[0].score
    taken: list[Recalled] = []
    left = budget
    for one in found:
        if one.score < FLOOR * best:
            break
        tokens = (counted or {}).get(one.page.row) or count_tokens(one.page.text) + 16
        if tokens <= left:
            taken.append(one)
            left -= tokens
    return newer_first(taken)
