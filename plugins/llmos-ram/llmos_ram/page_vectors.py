"""Vectors of pages: made off the critical path, held in memory a chat at a time.

Only what has left the window is ever looked for by meaning, so a vector may come late. The user's
text is embedded to search with; that vector is its page's own, so nothing is embedded twice.

The embedder takes one text after the other. A query must not stand behind a batch of pages, nor
share the processor with one before the model begins: pages are handed over one by one, none while a
turn is being prepared.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from llmos.plugins import Host, Job
from llmos_ram.chat_rows import ChatRows
from llmos_ram.store import RamStore
from llmos_ram.vectors import ChatVectors

#: Pages whose vectors are written together.
BATCH = 8
#: Seconds without a turn after which pages are embedded, and pages at which it is not waited for.
PAUSE, BACKLOG = 0.25, 32
#: Seconds from a turn's search to the model's beginning, about; no page is embedded in them.
PREPARING = 0.015
#: Longest text that is embedded, in characters.
LONGEST = 2_000
#: Key of the vectors of all chats.
EVERYWHERE = ""


class PageVectors:
    """Makes and keeps vectors of pages.

    Args:
        host: embeds.
        store: the indexed pages.
    """

    def __init__(self, host: Host, store: RamStore) -> None:
        self._host = host
        self._store = store
        self._lock = threading.RLock()
        self._held: OrderedDict[str, ChatVectors] = OrderedDict()
        self._queries: OrderedDict[tuple[str, str], np.ndarray] = OrderedDict()
        self._ahead: ThreadPoolExecutor | None = None
        self._asked: tuple[tuple[str, str], Future[np.ndarray]] | None = None
        self._embedding = threading.Lock()
        self._working = False
        self._closed = threading.Event()
        self._last_turn = 0.0

    # Queries.

    def turn_begins(self) -> None:
        """A turn is being prepared: pages wait."""
        with self._lock:
            self._last_turn = time.monotonic()

    def ask_ahead(self, text: str, embedder: str) -> None:
        """Begin to embed a text that is searched with in a moment; ``query`` then waits for this."""
        key = (embedder, text[:LONGEST])
        with self._lock:
            if key in self._queries or self._closed.is_set():
                return
            if self._ahead is None:
                self._ahead = ThreadPoolExecutor(1, thread_name_prefix="ram-query")
            self._asked = (key, self._ahead.submit(self._embed_query, key[1]))

    def _embed_query(self, text: str) -> np.ndarray:
        return np.asarray(self._host.embed([text])[0], dtype=np.float32)

    def query(self, text: str, embedder: str) -> np.ndarray:
        """Normalised vector [width] of a text; the last ones are remembered."""
        key = (embedder, text[:LONGEST])
        with self._lock:
            self._last_turn = time.monotonic()
            if key in self._queries:
                return self._queries[key]
            asked, self._asked = self._asked, None
        ahead = asked is not None and asked[0] == key
        vector = asked[1].result() if ahead and asked is not None else self._embed_query(key[1])
        with self._lock:
            self._last_turn = time.monotonic()
            self._queries[key] = vector
            while len(self._queries) > 16:
                self._queries.popitem(last=False)
        return vector

    def of_chat(self, chat_id: str, embedder: str) -> ChatVectors:
        """Vectors of a chat's pages, or of all (``EVERYWHERE``); the last eight are held."""
        with self._lock:
            held = self._held.get(chat_id)
            if held is None or held.embedder != embedder:
                held = self._held[chat_id] = ChatVectors(self._store, chat_id, embedder)
            self._held.move_to_end(chat_id)
            while len(self._held) > 8:
                self._held.popitem(last=False)
            return held

    def forget(self, chat_id: str) -> None:
        """Drop what is held of a chat."""
        with self._lock:
            self._held.pop(chat_id, None)
            self._held.pop(EVERYWHERE, None)

    # Pages.

    def keep_query(self, rows: ChatRows, message_id: str, text: str) -> None:
        """Where the text of a new page was searched with, its vector is there already."""
        embedder = self._host.embedder_id()
        with self._lock:
            self._last_turn = time.monotonic()
            vector = self._queries.get((embedder, text[:LONGEST]))
        row = rows.known.get(message_id)
        if embedder and vector is not None and row is not None:
            self._keep([row], vector[None], embedder)

    def _keep(self, numbers: list[int], vectors: np.ndarray, embedder: str) -> None:
        with self._lock:
            if self._closed.is_set():  # the store closes next; pages without a vector get one later
                return
            self._store.set_vectors(numbers, vectors, embedder)
            pages = self._store.pages(numbers)
            for name, held in self._held.items():
                own = [
                    at
                    for at, row in enumerate(numbers)
                    if row in pages and name in (EVERYWHERE, pages[row].chat_id)
                ]
                if held.embedder == embedder and own:
                    kinds = [pages[numbers[at]].tells for at in own]
                    held.add([numbers[at] for at in own], vectors[own], kinds)

    def embed_new(self, limit: int = 256, go_on: Callable[[], bool] = lambda: True) -> int:
        """Give vectors to pages that have none; returns how many got one.

        One caller at a time: others return at once, the one at work takes their pages too.

        Args:
            limit: at most this many pages, by whole batches.
            go_on: asked before each page; where it says no, what is made by then is kept.
        """
        if not self._embedding.acquire(blocking=False):
            return 0
        try:
            embedder, done = self._host.embedder_id(), 0
            while embedder and done < limit and not self._closed.is_set():
                pages = self._store.pages(self._store.without_vectors(embedder, BATCH))
                missing = sorted(pages, key=lambda row: (-pages[row].tells, -row))
                made: list[list[float]] = []
                for row in missing:
                    if self._closed.is_set() or not go_on():
                        break
                    made += self._host.embed([pages[row].text[:LONGEST]])
                if made:
                    self._keep(missing[: len(made)], np.asarray(made, dtype=np.float32), embedder)
                    done += len(made)
                if not missing or len(made) < len(missing):
                    break
            return done
        finally:
            self._embedding.release()

    def start(self) -> None:
        """Have what is missing embedded by a job, once nobody waits for a turn."""
        with self._lock:
            if self._working or not self._host.embedder_id():
                return
            self._working = True
        self._host.jobs.start("vectors of pages", self._embed_all)

    def close(self) -> None:
        """Let the job end."""
        self._closed.set()
        with self._lock:
            if self._ahead is not None:
                self._ahead.shutdown(wait=False, cancel_futures=True)

    def _embed_all(self, job: Job) -> None:
        """Embed until nothing is missing or the user stops it."""
        done = 0
        try:
            while not job.cancelled and self._may_begin(job):
                count = self.embed_new(BATCH, lambda: self._may_begin(job))
                if not count:
                    return
                done += count
                job.progress(done, 0, "pages")
        finally:
            with self._lock:
                self._working = False

    def _may_begin(self, job: Job) -> bool:
        """Wait for a pause in the talk, where much is missing for a short one; False: give up."""
        embedder = self._host.embedder_id()
        while not (job.cancelled or self._closed.is_set()):
            with self._lock:
                since = time.monotonic() - self._last_turn
            if since >= PAUSE:
                return True
            many = self._store.misses_vectors(embedder, BACKLOG)
            if many and since >= PREPARING:
                return True
            self._closed.wait((PREPARING if many else PAUSE) - since)
        return False
