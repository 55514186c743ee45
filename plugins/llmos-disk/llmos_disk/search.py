"""Search: vectors and words, fused by rank; copies folded, neighbours joined."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from llmos.types import UserError
from llmos_disk.embedding import EmbedderSource, to_half
from llmos_disk.index_health import IndexKeeper
from llmos_disk.query import Filter, Query, fts_expression, fts_terms, parse
from llmos_disk.records import Passage
from llmos_disk.store import Store

#: Candidates from each of the two searches.
CANDIDATES = 50
#: Constant of reciprocal rank fusion.
FUSION_K = 10
#: How much more a rank by words counts for a query that looks like an identifier, and a rank by
#: meaning for any other (both measured; see docs/plugins/disk.md).
IDENTIFIER_WEIGHT = 3.0
MEANING_WEIGHT = 2.0
#: In fused searches a word that stands in more of the chunks than this says little: it is left to the
#: vectors. It costs most of the time, too.
COMMON = 0.02
#: So many chunks are never too many.
COMMON_FLOOR = 100
#: How much the passages around one under the same headings count beside its own similarity, and how
#: far around is looked.
CONTEXT_WEIGHT = 0.25
CONTEXT_REACH = 3
#: What each further passage of one section keeps of its score, so that other sections come up.
SAME_SECTION = 0.5
#: BM25 weights of path, headings and text.
WORD_WEIGHTS = (1.0, 2.0, 1.0)
#: Passages whose vectors are this close say the same.
SAME = 0.97
#: Below so many chunks within a filter they are compared one by one, exactly.
EXACT = 20_000
#: Most characters of a passage made by joining neighbours.
JOINED = 2_400


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that was found, and why.

    Attributes:
        similarity: cosine to the query, None when only words found it.
        dense_rank, word_rank: 1-based rank in each search, 0 when not found there.
        word_score: BM25 score, 0 when not found by words.
    """

    passage: Passage
    score: float
    similarity: float | None = None
    dense_rank: int = 0
    word_rank: int = 0
    word_score: float = 0.0

    def why(self) -> str:
        """In words for the user."""
        parts = []
        if self.dense_rank:
            parts.append(f"meaning #{self.dense_rank} (similarity {self.similarity or 0:.2f})")
        if self.word_rank:
            parts.append(f"words #{self.word_rank}")
        return ", ".join(parts) or "attached"


@dataclass(frozen=True, slots=True)
class Found:
    """Result of a search.

    Attributes:
        dense: False when words alone were searched (no embedder, or nothing embedded yet).
        exact: vectors were compared one by one instead of through Chroma.
    """

    query: Query
    hits: tuple[Hit, ...]
    seconds: float
    dense: bool
    exact: bool = False


class Searcher:
    """Searches one index; safe from several threads.

    Args:
        store: the database.
        keeper: the vector index.
        embedders: must offer the embedder whose vectors are stored.
        notify: one line to the user.
    """

    def __init__(
        self, store: Store, keeper: IndexKeeper, embedders: EmbedderSource, notify: Callable[[str], None]
    ) -> None:
        """See the class."""
        self.store = store
        self._keeper = keeper
        self._embedders = embedders
        self._notify = notify
        self._counted = ("", 0)  # number of chunks at a generation of the index

    def search(
        self,
        text: str,
        *,
        limit: int = 8,
        within: Filter | None = None,
        mode: str = "fused",
        merge: bool = True,
    ) -> Found:
        """The best passages for a query.

        Args:
            text: words; may hold filters such as ``type:pdf after:2024-01-01``.
            limit: most passages.
            within: further restriction.
            mode: ``fused``, ``dense`` or ``words``.
            merge: fold copies and join neighbours.

        Raises:
            UserError: a date in the query is none.
        """
        started = time.perf_counter()
        query = parse(text)
        chosen = query.filter.merged(within) if within else query.filter
        scope, values = chosen.sql()
        dense: list[tuple[int, float]] = []
        exact = False
        had_vectors = False
        if mode != "words" and query.text:
            vector = self._query_vector(query.text)
            if vector is not None:
                had_vectors = True
                dense, exact = self._dense(vector, scope, values)
                if mode == "fused":
                    dense = self._in_context(vector, dense)
        words: list[tuple[int, float]] = []
        terms = fts_terms(query.text) if mode != "dense" else []
        if dense:
            terms = self._telling(terms, query.identifier)
        if terms:
            words = self.store.word_hits(fts_expression(terms), CANDIDATES, WORD_WEIGHTS, scope, values)
        hits = self._fuse(query, dense, words, scope, values)
        if merge:
            hits = self._join_neighbours(_spread(self._fold(hits, limit * 4)), limit)
        return Found(query, tuple(hits[:limit]), time.perf_counter() - started, had_vectors, exact)

    def _vectors(self, texts: Sequence[str]) -> Any:
        """Vectors of texts by the embedder that serves; None when there is none."""
        active = self._keeper.active()
        embedder = self._embedders.named(active[1]) if active is not None else None
        if embedder is None:
            return None
        try:
            return to_half(embedder.embed([one[:2_000] for one in texts]))
        except (UserError, ValueError) as error:
            self._notify(f"The embedder does not work ({error}); files are searched by words alone.")
            return None

    def _query_vector(self, text: str) -> Any:
        """Vector of the query; None without an embedder."""
        vectors = self._vectors([text])
        return None if vectors is None else vectors[0]

    def similarities(self, question: str, texts: Sequence[str]) -> list[float] | None:
        """Cosine of each text to a question; None without an embedder."""
        vectors = self._vectors([question, *texts])
        if vectors is None:
            return None
        wide = vectors.astype("float32")
        return [float(cosine) for cosine in wide[1:] @ wide[0]]

    def _dense(self, vector: Any, scope: str, values: Sequence[Any]) -> tuple[list[tuple[int, float]], bool]:
        """(chunk, similarity) of the nearest chunks, best first; and whether it was done exactly."""
        import numpy as np

        query = vector.astype(np.float32)
        count = CANDIDATES
        if scope:
            size = self.store.scope_size(scope, values)
            if size <= EXACT:
                return self._compare_all(query, scope, values), True
            total = max(self.store.counts()["chunks"], 1)
            count = min(CANDIDATES * max(total // max(size, 1), 1) * 2, 1_000)
        found = self._keeper.query(query, count)
        if found is None:
            return self._compare_all(query, scope, values), True
        rows = self.store.chunk_ids([key for key, _ in found])
        return [(rows[key], similarity) for key, similarity in found if key in rows], False

    def _in_context(self, vector: Any, dense: list[tuple[int, float]]) -> list[tuple[int, float]]:
        """Dense hits in the order of their similarity and that of what stands around them.

        A passage amid others on the same matter is a better answer than a stray one. The
        similarities themselves stay as they are.
        """
        import numpy as np

        active = self._keeper.active()
        if active is None or not dense:
            return dense
        rows = self.store.vectors_around(active[0], [row for row, _ in dense], CONTEXT_REACH)
        if not rows:
            return dense
        matrix = np.frombuffer(b"".join(raw for _, raw in rows), dtype=np.float16)
        matrix = matrix.reshape(len(rows), -1).astype(np.float32)
        owners = np.array([owner for owner, _ in rows])
        starts = np.flatnonzero(np.r_[True, owners[1:] != owners[:-1]])
        means = np.add.reduceat(matrix, starts, axis=0)
        around = (means @ vector.astype(np.float32)) / np.linalg.norm(means, axis=1)
        context = dict(zip(owners[starts].tolist(), around.tolist(), strict=True))
        return sorted(dense, key=lambda hit: -(hit[1] + CONTEXT_WEIGHT * context.get(hit[0], hit[1])))

    def _telling(self, terms: list[str], identifier: bool) -> list[str]:
        """Terms that tell passages apart: words that are not common, and words side by side of which
        one is not. In the name of something words side by side always count.
        """
        generation = self.store.meta("generation")
        if generation != self._counted[0]:
            self._counted = (generation, self.store.counts()["chunks"])
        most = max(COMMON_FLOOR, int(COMMON * self._counted[1]))
        words = {word for term in terms for word in term.split()}
        rare = {word for word in words if self.store.chunks_with(word, most + 1) <= most}
        return [term for term in terms if (identifier and " " in term) or not rare.isdisjoint(term.split())]

    def _compare_all(self, query: Any, scope: str, values: Sequence[Any]) -> list[tuple[int, float]]:
        """Nearest chunks by comparing every stored vector within the filter."""
        import numpy as np

        active = self._keeper.active()
        rows = self.store.scope_vectors(active[0], scope, values) if active else []
        if not rows:
            return []
        matrix = np.frombuffer(b"".join(vector for _, vector in rows), dtype=np.float16)
        scores = matrix.reshape(len(rows), -1).astype(np.float32) @ query
        best = np.argsort(-scores)[:CANDIDATES]
        return [(rows[index][0], float(scores[index])) for index in best]

    def _fuse(
        self,
        query: Query,
        dense: list[tuple[int, float]],
        words: list[tuple[int, float]],
        scope: str,
        values: Sequence[Any],
    ) -> list[Hit]:
        """Reciprocal rank fusion."""
        by_words = IDENTIFIER_WEIGHT if query.identifier else 1.0
        by_meaning = 1.0 if query.identifier else MEANING_WEIGHT
        passages = self.store.passages([*{row for row, _ in dense} | {row for row, _ in words}], scope, values)
        hits: dict[int, Hit] = {}
        rank = 0
        for row, similarity in dense:
            if row in passages:
                rank += 1
                hits[row] = Hit(passages[row], by_meaning / (FUSION_K + rank), similarity, rank)
        rank = 0
        for row, score in words:
            if row not in passages:
                continue
            rank += 1
            before = hits.get(row) or Hit(passages[row], 0.0)
            hits[row] = dataclasses.replace(
                before, score=before.score + by_words / (FUSION_K + rank), word_rank=rank, word_score=score
            )
        return sorted(hits.values(), key=lambda hit: -hit.score)

    def _fold(self, hits: list[Hit], limit: int) -> list[Hit]:
        """Leave out passages that say what a better one said already."""
        import numpy as np

        active = self._keeper.active()
        hits = hits[:limit]
        vectors = self.store.vectors_of(active[0], [hit.passage.chunk_id for hit in hits]) if active else {}
        kept: list[Hit] = []
        kept_vectors: list[Any] = []
        texts: set[str] = set()
        for hit in hits:
            text = " ".join(hit.passage.text.split())
            raw = vectors.get(hit.passage.chunk_id)
            vector = None if raw is None else np.frombuffer(raw, dtype=np.float16).astype(np.float32)
            same = text in texts or (
                vector is not None and any(float(vector @ other) > SAME for other in kept_vectors)
            )
            if same:
                continue
            texts.add(text)
            if vector is not None:
                kept_vectors.append(vector)
            kept.append(hit)
        return kept

    def _join_neighbours(self, hits: list[Hit], limit: int) -> list[Hit]:
        """Chunks that follow one another in a file, under the same headings, become one passage."""
        head, rest = hits[: limit * 2], hits[limit * 2 :]
        by_place = {(hit.passage.content, hit.passage.ordinal): hit for hit in head}
        joined: list[Hit] = []
        used: set[tuple[str, int]] = set()
        for hit in head:
            place = (hit.passage.content, hit.passage.ordinal)
            if place in used:
                continue
            used.add(place)
            run = [hit]
            size = len(hit.passage.text)
            for step in (1, -1):
                ordinal = place[1] + step
                while True:
                    other = by_place.get((place[0], ordinal))
                    if (
                        other is None
                        or (place[0], ordinal) in used
                        or other.passage.heading != hit.passage.heading
                        or size + len(other.passage.text) > JOINED
                    ):
                        break
                    used.add((place[0], ordinal))
                    size += len(other.passage.text)
                    run.append(other)
                    ordinal += step
            joined.append(_merged(hit, run) if len(run) > 1 else hit)
        return joined + rest


def _spread(hits: list[Hit]) -> list[Hit]:
    """Let the second, third … passage of one section stand back behind other sections."""
    seen: dict[tuple[str, str], int] = {}
    scored = []
    for hit in hits:
        section = (hit.passage.content, hit.passage.heading)
        before = seen.get(section, 0)
        seen[section] = before + 1
        scored.append((hit.score * SAME_SECTION**before, hit))
    return [hit for _, hit in sorted(scored, key=lambda pair: -pair[0])]


def _merged(best: Hit, run: list[Hit]) -> Hit:
    """One hit from neighbours, with the best one's ranks."""
    passages = sorted((hit.passage for hit in run), key=lambda passage: passage.ordinal)
    text = passages[0].text
    for before, after in itertools.pairwise(passages):
        gap = max(after.line - before.end_line, 1) if after.line and before.end_line else 1
        text += ("\n" if gap == 1 else "\n\n") + after.text
    whole = dataclasses.replace(passages[0], text=text, end_line=passages[-1].end_line)
    return dataclasses.replace(best, passage=whole)
