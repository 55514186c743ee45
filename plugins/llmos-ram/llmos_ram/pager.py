"""The pager: indexes what was said, brings evicted pages back, keeps the figures.

One object for the plugin's life. Hooks run on several worker threads, so its state is behind a
lock; embedding (slow) happens outside of it.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import partial

from llmos.plugins import Host, Turn
from llmos.types import Labels, Message, Page
from llmos_ram import memories as memory_facts
from llmos_ram.chat_rows import ChatRows
from llmos_ram.eviction import eviction_order
from llmos_ram.page_vectors import EVERYWHERE, PageVectors
from llmos_ram.quiet_work import QuietWork
from llmos_ram.recall import Recalled, search, within_budget
from llmos_ram.store import Memory, RamStore, StoredPage
from llmos_ram.summaries import Summaries, asks_for_overview, work_through
from llmos_ram.words import is_question, is_small_talk, tells_anew

#: Tokens of the line over a brought page.
_HEADER = 16
#: Most pages that a turn calls for, and of how many of them eviction keeps off where a question is asked.
_MOST, _KEPT = 12, 6


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
        self._chats: OrderedDict[str, ChatRows] = OrderedDict()
        self._lengths: dict[int, int] = {}
        self._figures: dict[str, tuple[int, int, int, float]] = {}
        self._gone: dict[str, int] = {}
        self._wanted: set[str] = set()
        self.vectors = PageVectors(host, self.store)
        #: the chat of the last turn, for the panel and the status bar.
        self.last_chat = ""
        if self.store.set_aside is not None:
            host.notify(
                f"The index of earlier pages was damaged; it lies in {self.store.set_aside} and fills anew."
            )

    # What was said becomes pages.

    def _chat(self, chat_id: str) -> ChatRows:
        """Rows of a chat; those of the last chats are held."""
        with self._lock:
            rows = self._chats.get(chat_id)
            if rows is None:
                rows = self._chats[chat_id] = ChatRows(self.store, chat_id)
            self._chats.move_to_end(chat_id)
            while len(self._chats) > 16:
                self._chats.popitem(last=False)
            return rows

    def index(self, chat_id: str, messages: Sequence[Message]) -> list[int]:
        """Index the messages that are new; returns the rows of a chat's messages given, in order."""
        with self._lock:
            known = self._chat(chat_id).known
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
                for start in range(0, len(new), 500):
                    known.update(self.store.rows_of([one.id for one in new[start : start + 500]]))
            return [known[message.id] for message in messages if message.id in known]

    def embed_new(self, limit: int = 256) -> int:
        """Give vectors to pages that have none; returns how many got one."""
        return self.vectors.embed_new(limit)

    # What was evicted comes back.

    def recall(
        self,
        query: str,
        chat_id: str,
        *,
        budget: int,
        present: Collection[str] = (),
        branch: Collection[int] | None = None,
        limit: int = 20,
    ) -> list[Recalled]:
        """Pages for a text, best first: evicted ones within a budget of tokens, and those in the window.

        Args:
            query: text to search for.
            chat_id: the chat; other chats are searched too where the user allows it.
            budget: tokens of the pages that are not in the window.
            present: ids of messages in the window; they cost nothing, and none is brought that one of
                them supersedes.
            branch: rows of the chat's current branch; None allows every row.
            limit: at most this many pages.
        """
        if budget <= 0 or is_small_talk(query):
            return []
        known = self._chat(chat_id).known
        here = {known[message] for message in present if message in known}
        everywhere = bool(self.host.settings.get("other_chats", False))
        scope = EVERYWHERE if everywhere else chat_id
        embedder = self.host.embedder_id()
        vectors, query_vector = None, None
        if embedder:
            vectors = self.vectors.of_chat(scope, embedder)
            if len(vectors) or present:  # a text that is a page soon needs its vector anyway
                query_vector = partial(self.vectors.query, query, embedder)
        found = search(
            self.store,
            query,
            chat_id=scope,
            vectors=vectors,
            query_vector=query_vector,
            within=None if everywhere else branch,
            limit=max(limit, 20),
        )
        return within_budget(found, budget, self._length, present=here, limit=limit)

    def _length(self, page: StoredPage) -> int:
        """Tokens of a page when it is brought: known from when it was in the window, else estimated."""
        return self._lengths.get(page.row) or len(page.text.encode()) * 2 // 7 + _HEADER

    def _learn_lengths(self, window: Sequence[Page], known: Mapping[str, int]) -> None:
        """Keep the lengths of pages in the window: when they are recalled, nothing has to be counted."""
        if len(self._lengths) > 50_000:
            self._lengths.clear()
        for page in window:
            row = known.get(page.message_id)
            if row is not None and page.tokens:
                self._lengths[row] = page.tokens + (_HEADER if page.id == page.message_id else 0)

    def context(self, turn: Turn) -> list[Page]:
        """Pages to bring in for a turn: pinned and matching memories, then recalled pages."""
        began = time.perf_counter()
        self.last_chat = turn.chat_id
        self.vectors.turn_begins()
        rows = self._chat(turn.chat_id)
        window = [page for page in turn.window if page.where == "window"]
        present = {page.message_id for page in window if page.message_id}
        used = sum(page.tokens for page in window)
        # A quarter: tools and the answer's reserve may take as much again before an eviction comes.
        filling = 4 * used > self.host.context_size
        if (filling or len(rows.branch) > len(present)) and not is_small_talk(turn.user.content):
            embedder = self.host.embedder_id()
            if embedder:  # beside what follows: the search will need it
                self.vectors.ask_ahead(turn.user.content, embedder)
        with self._lock:
            rows.follow(turn.messages, turn.user.parent_id, lambda new: self.index(turn.chat_id, new))
        self._learn_lengths(window, rows.known)
        # A small window must not fill up with what is brought: a sixth of it at most.
        sixth = self.host.context_size // 6 or turn.budget
        budget = min(turn.budget, sixth, int(self.host.settings.get("recall_tokens", 512)))
        brought: list[Page] = []
        texts = {page.text for page in window}
        for memory in self._memories_for(turn.user.content):
            page = memory_page(memory)
            cost = len(page.text.encode()) * 2 // 7 + _HEADER
            if page.text not in texts and cost <= budget:
                brought.append(page)
                budget -= cost
        swapped = len(rows.branch) > sum(rows.known.get(message) in rows.branch for message in present)
        everywhere = bool(self.host.settings.get("other_chats", False))
        recalled: list[Recalled] = []
        if swapped or everywhere or filling:
            share = budget // 2 if asks_for_overview(turn.user.content) else budget
            found = self.recall(
                turn.user.content, turn.chat_id, budget=share, present=present, branch=rows.branch, limit=_MOST
            )
            recalled = [
                one
                for one in found
                if one.page.message_id not in present and not tells_anew(turn.user.content, one.page.text)
            ]
            best = found[: _KEPT if is_question(turn.user.content) else _KEPT // 3]
            wanted = {one.page.message_id for one in best}
            brought += [recalled_page(one, turn.chat_id) for one in recalled]
            brought += self._summaries_for(turn, budget, recalled, present, rows)
            with self._lock:
                self._wanted = {page.id for page in window if page.message_id in wanted}
        with self._lock:
            self._figures[turn.chat_id] = (
                len(recalled),
                sum(self._length(one.page) for one in recalled),
                int(swapped),
                time.perf_counter() - began,
            )
        return brought

    def _summaries_for(
        self, turn: Turn, budget: int, recalled: Sequence[Recalled], present: set[str], rows: ChatRows
    ) -> list[Page]:
        """Summaries in what the recalled pages left of the budget."""
        everywhere = bool(self.host.settings.get("other_chats", False))
        return self.summaries.recall(
            turn.user.content,
            EVERYWHERE if everywhere else turn.chat_id,
            budget=budget - sum(self._length(one.page) for one in recalled),
            brought=[one.page.row for one in recalled],
            present=[rows.known[message] for message in present if message in rows.known],
            branch=None if everywhere else rows.branch,
        )

    def _memories_for(self, text: str) -> list[Memory]:
        pinned = [memory for memory in self.store.memories() if memory.pinned]
        found = memory_facts.find(self.store, text, limit=4)
        return pinned + [memory for memory in found if memory not in pinned]

    def evict(self, window: Sequence[Page], need: int) -> list[str]:
        """Order of eviction; see ``llmos_ram.eviction``."""
        with self._lock:
            wanted = self._wanted
        return eviction_order(window, wanted=wanted)

    def turn_done(self, turn: Turn) -> None:
        """Index what was said in the turn; vectors follow in a job, so that no turn waits for them."""
        rows = self._chat(turn.chat_id)
        answer = turn.answer

        def index(new: Sequence[Message]) -> list[int]:
            return self.index(turn.chat_id, new)

        with self._lock:
            if answer is None or answer.id != rows.leaf:  # else the next turn was quicker
                last = next((one.id for one in turn.messages[-1:]), None)
                rows.follow(turn.messages, last, index)
                rows.go_on([one for one in (turn.user, answer) if one is not None and one.id != last], index)
        self.vectors.keep_query(rows, turn.user.id, turn.user.content)
        self._after(turn)
        self.vectors.start()

    def _after(self, turn: Turn) -> None:
        """Keep the turn's figures; have summaries made of what left the window, when it is quiet."""
        stats = turn.answer.stats if turn.answer is not None else {}
        if "prompt_tokens" in stats:
            prompt = int(stats.get("turn_prompt_tokens", stats["prompt_tokens"]))
            cached = int(stats.get("turn_cached_tokens", stats.get("cached_tokens", 0)))
            self.store.add_turn_tokens(turn.chat_id, prompt, prompt - cached)
        here = sum(page.id == page.message_id for page in turn.window if page.where == "window")
        with self._lock:
            gone = len(self._chat(turn.chat_id).branch) - here
            recalled, tokens, searched, seconds = self._figures.pop(turn.chat_id, (0, 0, 0, 0.0))
        evicted = max(0, gone - self._gone.get(turn.chat_id, 0))
        self._gone[turn.chat_id] = gone
        self.store.add_turn(turn.chat_id, recalled, tokens, evicted, searched, seconds)
        if gone > 0 and self.summaries.mode != "off":
            self._quiet.note(turn.chat_id)

    def forget_chat(self, chat_id: str) -> int:
        """Remove what is kept of a chat, when it was deleted."""
        with self._lock:
            self._chats.pop(chat_id, None)
            self.vectors.forget(chat_id)
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
        self.vectors.close()
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
