"""The pager: indexes what was said, brings evicted pages back, keeps the figures.

One object for the plugin's life. Hooks run on several worker threads, so its state is behind a
lock; embedding (slow) happens outside of it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import datetime

import numpy as np

from llmos.plugins import Host, Job, Turn
from llmos.types import Labels, Message, Page
from llmos_ram import memories as memory_facts
from llmos_ram.eviction import eviction_order
from llmos_ram.quiet_work import QuietWork
from llmos_ram.recall import Recalled, search, within_budget
from llmos_ram.store import Memory, RamStore, StoredPage
from llmos_ram.summaries import Summaries, asks_for_overview, work_through
from llmos_ram.vectors import ChatVectors
from llmos_ram.words import is_small_talk

_EMBED_BATCH = 32
_EVERYWHERE = ""


class Pager:
    """Everything that the hooks, tools, commands and the panel share."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.store = RamStore(host.data_dir / "ram.db")
        self.summaries = Summaries(host, self.store)
        self._quiet = QuietWork(
            host, "summaries of earlier pages", lambda chat, go_on: work_through(self.summaries, chat, go_on)
        )
        self._lock = threading.RLock()
        self._known: dict[str, dict[str, int]] = {}
        self._lengths: dict[int, int] = {}
        self._vectors: dict[str, ChatVectors] = {}
        self._evicted: dict[str, int] = {}
        self._embedding = threading.Lock()
        #: the chat of the last turn, for the panel and the status bar.
        self.last_chat = ""
        if self.store.set_aside is not None:
            host.notify(
                f"The index of earlier pages was damaged; it lies in {self.store.set_aside} and fills anew."
            )

    # What was said becomes pages.

    def index(self, chat_id: str, messages: Sequence[Message]) -> list[int]:
        """Index the messages that are new; returns the rows of a chat's messages given, in order."""
        with self._lock:
            known = self._known.get(chat_id)
            if known is None:
                known = self._known[chat_id] = self.store.known_messages(chat_id)
            new = [
                message
                for message in messages
                if message.id not in known
                and message.content.strip()
                and message.role in ("user", "assistant", "tool")
            ]
            if new:
                self.store.add_pages(
                    [
                        (
                            message.id,
                            chat_id,
                            message.role,
                            "tool_result" if message.role == "tool" else "message",
                            message.content,
                            message.labels,
                            message.created_at,
                        )
                        for message in new
                    ]
                )
                known.update(self.store.known_messages(chat_id) if len(new) > 64 else self._rows_of(new))
            return [known[message.id] for message in messages if message.id in known]

    def _rows_of(self, messages: Sequence[Message]) -> dict[str, int]:
        return self.store.rows_of([one.id for one in messages])

    def embed_new(self, limit: int = 256) -> int:
        """Give vectors to pages that have none, newest first; returns how many got one.

        One caller at a time: others return at once, the one at work takes their pages too.
        """
        if not self._embedding.acquire(blocking=False):
            return 0
        try:
            return self._embed_missing(limit)
        finally:
            self._embedding.release()

    def _embed_missing(self, limit: int) -> int:
        embedder = self.host.embedder_id()
        done = 0
        while embedder and done < limit:
            missing = self.store.without_vectors(embedder, _EMBED_BATCH)
            if not missing:
                break
            vectors = np.asarray(self.host.embed([text[:2000] for _, text in missing]), dtype=np.float32)
            rows = [row for row, _ in missing]
            self.store.set_vectors(rows, vectors, embedder)
            chats = {row: page.chat_id for row, page in self.store.pages(rows).items()}
            with self._lock:
                for name, held in list(self._vectors.items()):
                    own = [index for index, row in enumerate(rows) if name in (_EVERYWHERE, chats.get(row))]
                    if held.embedder == embedder and own:
                        held.add([rows[index] for index in own], vectors[own])
            done += len(missing)
        return done

    def _chat_vectors(self, chat_id: str, embedder: str) -> ChatVectors:
        with self._lock:
            held = self._vectors.get(chat_id)
            if held is None or held.embedder != embedder:
                held = self._vectors[chat_id] = ChatVectors(self.store, chat_id, embedder)
                for other in list(self._vectors)[:-8]:
                    del self._vectors[other]
            return held

    # What was evicted comes back.

    def recall(
        self,
        query: str,
        chat_id: str,
        *,
        budget: int,
        without: Sequence[str] = (),
        branch: Sequence[int] | None = None,
        limit: int = 20,
    ) -> list[Recalled]:
        """Pages for a text within a budget of tokens, in the order in which to show them.

        Args:
            query: text to search for.
            chat_id: the chat; other chats are searched too where the user allows it.
            budget: tokens.
            without: message ids already in the window.
            branch: rows of the chat's current branch; None allows every row.
            limit: at most this many pages.
        """
        if budget <= 0 or is_small_talk(query):
            return []
        with self._lock:
            known = self._known.setdefault(chat_id, self.store.known_messages(chat_id))
            skip = {known[message] for message in without if message in known}
            everywhere = bool(self.host.settings.get("other_chats", False))
        scope = _EVERYWHERE if everywhere else chat_id
        embedder = self.host.embedder_id()
        vectors = query_vector = None
        if embedder:
            vectors = self._chat_vectors(scope, embedder)
            if len(vectors):
                query_vector = np.asarray(self.host.embed([query[:2000]])[0], dtype=np.float32)
        within = None if everywhere or branch is None else set(branch)
        found = search(
            self.store,
            query,
            chat_id=scope,
            vectors=vectors,
            query_vector=query_vector,
            without=skip,
            within=within,
            limit=limit,
        )
        return within_budget(found, budget, self.host.count_tokens, self._count(found))

    def _count(self, found: Sequence[Recalled]) -> dict[int, int]:
        for one in found:
            if one.page.row not in self._lengths:
                self._lengths[one.page.row] = self.host.count_tokens(one.page.text) + 16
        if len(self._lengths) > 20_000:
            self._lengths = {one.page.row: self._lengths[one.page.row] for one in found}
        return self._lengths

    def context(self, turn: Turn) -> list[Page]:
        """Pages to bring in for a turn: pinned and matching memories, then recalled pages."""
        began = time.perf_counter()
        self.last_chat = turn.chat_id
        branch = self.index(turn.chat_id, turn.messages)
        window = [page for page in turn.window if page.where == "window"]
        present = {page.message_id for page in window if page.message_id}
        texts = {page.text for page in window}
        # A small window must not fill up with what is brought: a sixth of it at most.
        sixth = self.host.context_size // 6 or turn.budget
        budget = min(turn.budget, sixth, int(self.host.settings.get("recall_tokens", 512)))
        brought: list[Page] = []
        for memory in self._memories_for(turn.user.content):
            page = memory_page(memory)
            cost = self.host.count_tokens(page.text) + 16
            if page.text not in texts and cost <= budget:
                brought.append(page)
                budget -= cost
        swapped = [message.id for message in turn.messages if message.id not in present]
        recalled: list[Recalled] = []
        if swapped or self.host.settings.get("other_chats", False):
            share = budget // 2 if asks_for_overview(turn.user.content) else budget
            recalled = self.recall(
                turn.user.content, turn.chat_id, budget=share, without=sorted(present), branch=branch, limit=8
            )
            brought += [recalled_page(one, turn.chat_id) for one in recalled]
            brought += self._summaries_for(turn, budget, recalled, present, branch)
        with self._lock:
            evicted = self._evicted.pop(turn.chat_id, 0)
        self.store.add_turn(
            turn.chat_id,
            len(recalled),
            sum(self._lengths.get(one.page.row, 0) for one in recalled),
            evicted,
            int(bool(swapped)),
            time.perf_counter() - began,
        )
        return brought

    def _summaries_for(
        self, turn: Turn, budget: int, recalled: Sequence[Recalled], present: set[str], branch: Sequence[int]
    ) -> list[Page]:
        """Summaries in what the recalled pages left of the budget."""
        left = budget - sum(self._lengths.get(one.page.row, 0) for one in recalled)
        everywhere = bool(self.host.settings.get("other_chats", False))
        with self._lock:
            known = self._known.get(turn.chat_id, {})
            here = [known[message] for message in present if message in known]
        return self.summaries.recall(
            turn.user.content,
            _EVERYWHERE if everywhere else turn.chat_id,
            budget=left,
            brought=[one.page.row for one in recalled],
            present=here,
            branch=None if everywhere else branch,
        )

    def _memories_for(self, text: str) -> list[Memory]:
        pinned = [memory for memory in self.store.memories() if memory.pinned]
        found = memory_facts.find(self.store, text, limit=4)
        return pinned + [memory for memory in found if memory not in pinned]

    def evict(self, window: Sequence[Page], need: int) -> list[str]:
        """Order of eviction; see ``llmos_ram.eviction``."""
        order = eviction_order(window)
        tokens = {page.id: page.tokens for page in window}
        freed = count = 0
        for page_id in order:
            if freed >= need:
                break
            freed += tokens[page_id]
            count += 1
        with self._lock:
            for page in window:
                if page.message_id:
                    chat = self._chat_of(page.message_id)
                    if chat:
                        self._evicted[chat] = self._evicted.get(chat, 0) + count
                        break
        return order

    def _chat_of(self, message_id: str) -> str:
        for chat_id, known in self._known.items():
            if message_id in known:
                return chat_id
        return ""

    def turn_done(self, turn: Turn) -> None:
        """Index what was said in the turn; vectors follow in a job, so that no turn waits for them."""
        said = [*turn.messages[-8:], turn.user] + ([turn.answer] if turn.answer is not None else [])
        self.index(turn.chat_id, said)
        self._after(turn)
        if not self._embedding.locked() and self.host.embedder_id():
            self.host.jobs.start("vectors of pages", self._embed_all)

    def _after(self, turn: Turn) -> None:
        """Keep what the turn evaluated; have summaries made of what left the window, when it is quiet."""
        stats = turn.answer.stats if turn.answer is not None else {}
        if "prompt_tokens" in stats:
            prompt = int(stats.get("turn_prompt_tokens", stats["prompt_tokens"]))
            cached = int(stats.get("turn_cached_tokens", stats.get("cached_tokens", 0)))
            self.store.add_turn_tokens(turn.chat_id, prompt, prompt - cached)
        here = sum(page.id == page.message_id for page in turn.window if page.where == "window")
        with self._lock:
            gone = len(self._known.get(turn.chat_id, ())) > here
        if gone and self.summaries.mode != "off":
            self._quiet.note(turn.chat_id)

    def _embed_all(self, job: Job) -> None:
        """Embed until nothing is missing or the user stops it."""
        done = 0
        while not job.cancelled and (count := self.embed_new(_EMBED_BATCH)):
            done += count
            job.progress(done, 0, "pages")

    def forget_chat(self, chat_id: str) -> int:
        """Remove what is kept of a chat, when it was deleted."""
        with self._lock:
            self._known.pop(chat_id, None)
            self._vectors.pop(chat_id, None)
            self._vectors.pop(_EVERYWHERE, None)
            return self.store.forget_chat(chat_id)

    def forget_deleted(self) -> int:
        """Remove pages of chats that no longer exist; returns how many pages went."""
        gone = 0
        for chat_id in self.store.chats():
            if not self.host.chat_messages(chat_id):
                gone += self.forget_chat(chat_id)
        return gone

    def close(self) -> None:
        """End the background work and close the file."""
        self._quiet.close()
        self.store.close()


def when(created: float) -> str:
    """Date and time as a person reads it."""
    return datetime.fromtimestamp(created).strftime("%Y-%m-%d %H:%M")


def recalled_page(one: Recalled, chat_id: str) -> Page:
    """A recalled message as a page of the window, with its labels, date and origin."""
    page: StoredPage = one.page
    who = {"user": "you said", "assistant": "the model said"}.get(page.role, "a tool said")
    place = "earlier" if page.chat_id == chat_id else "in another chat"
    return Page(
        text=page.text,
        kind="tool_result" if page.kind == "tool_result" else "message",
        labels=page.labels,
        source=f"{who} {place}, {when(page.created)}",
        message_id=page.message_id,
        location={"chat": page.chat_id, "message": page.message_id},
        reason=one.reason,
    )


def memory_page(memory: Memory) -> Page:
    """A memory as a page of the window."""
    labels = Labels(
        memory.labels.origins | {f"memory:{memory.row}"}, memory.labels.integrity, memory.labels.confidentiality
    )
    return Page(
        text=memory.text,
        kind="memory",
        labels=labels,
        source=f"memory {memory.row}, {when(memory.created)}",
        location={"memory": memory.row},
        pinned=memory.pinned,
        reason="pinned memory" if memory.pinned else "memory that shares words with your message",
    )
