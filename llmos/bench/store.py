"""The chat store and the overhead of a turn: commits, opening, lists, search, ten thousand turns."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llmos.bench.figures import Figure, figure
from llmos.conversation.records import PageState
from llmos.conversation.store import Store
from llmos.conversation.window import Window
from llmos.types import Message

#: Words for made-up messages; every one of them is in thousands of messages.
_WORDS = [
    "tide",
    "moon",
    "water",
    "river",
    "stone",
    "garden",
    "window",
    "letter",
    "music",
    "winter",
    "paper",
    "engine",
    "market",
]


def run(quick: bool = False, say: Callable[[str], None] = lambda _text: None) -> list[Figure]:
    """Measure on a store in a temporary folder.

    Args:
        quick: a tenth of the size.
        say: takes progress lines.
    """
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "chats.db")
        try:
            return _measure(store, 10 if quick else 1, say)
        finally:
            store.close()


def _measure(store: Store, divisor: int, say: Callable[[str], None]) -> list[Figure]:
    chats, long_chat = 10_000 // divisor, 5_000 // divisor
    say(f"Writing {chats:,} chats.")
    ids = [_fill(store, 4, number) for number in range(chats)]
    short, long = _fill(store, 200, 1), _fill(store, long_chat, 2)
    found = [
        figure("commit of a message, median", _median(lambda: _commit(store, short)), "ms"),
        figure(f"open a chat of {200} messages", _median(lambda: _open(store, short)), "ms", "<=", 1_000),
        figure(
            f"open a chat of {long_chat:,} messages", _median(lambda: _open(store, long)), "ms", "<=", 1_500
        ),
        figure(
            f"list of {chats:,} chats, first 100", _median(lambda: store.list_chats(limit=100)), "ms", "<=", 200
        ),
        figure(
            f"title among {chats:,} chats",
            _median(lambda: store.list_chats(title=f"{_WORDS[3]} 77")),
            "ms",
            "<=",
            200,
        ),
        figure(
            f"full-text search over {chats:,} chats",
            _median(lambda: store.search(f"{_WORDS[0]} {_WORDS[4]} number77")),
            "ms",
            "<=",
            200,
        ),
        figure(
            "full-text search, a word in every chat",
            _median(lambda: store.search(_WORDS[1])),
            "ms",
            "<=",
            200,
        ),
        figure("switch to a chat", _median(lambda: _open(store, ids[chats // 2])), "ms", "<=", 200),
    ]
    say(f"Taking {10_000 // divisor:,} turns.")
    return found + asyncio.run(_turns(10_000 // divisor))


def _fill(store: Store, messages: int, number: int) -> str:
    """A chat of made-up messages; returns its id."""
    with store.database.transaction():
        chat = store.create_chat(f"{_WORDS[number % len(_WORDS)]} {number}")
        parent: str | None = None
        for place in range(messages):
            words = " ".join(_WORDS[(number + place + step) % len(_WORDS)] for step in range(40))
            role: Any = "user" if place % 2 == 0 else "assistant"
            message = Message(role, f"{words} number{number}", chat_id=chat.id, parent_id=parent)
            store.add_message(message)
            parent = message.id
    return chat.id


def _commit(store: Store, chat_id: str) -> None:
    store.add_message(Message("user", "one more message", chat_id=chat_id), leaf=False)


def _open(store: Store, chat_id: str) -> None:
    window = Window(chat_id)
    window.fill(store.branch(chat_id), store.page_states(chat_id))


def _median(work: Callable[[], object], times: int = 7) -> float:
    """Median milliseconds of some runs."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append((time.perf_counter() - began) * 1_000)
    return statistics.median(taken)


async def _turns(count: int) -> list[Figure]:
    """What a turn costs beside the model: store, window, eviction; early ones against late ones."""
    store = Store(None)
    chat = store.create_chat()
    window = Window(chat.id)
    parent: str | None = None
    taken: list[float] = []
    costs: list[float] = []
    for number in range(count):
        began, cpu = time.perf_counter(), time.process_time()
        for role in ("user", "assistant"):
            kind: Any = role
            message = Message(kind, f"{' '.join(_WORDS)} {number}", chat_id=chat.id, parent_id=parent)
            await store.run(store.add_message, message)
            parent = message.id
            window.append(message).page.tokens = 20
        if window.tokens_used() > 2_048:
            gone = window.evict([], 1_024, window.candidates(message.id), message.id)
            states = [PageState(page.id, True) for page in gone]
            await store.run(store.set_page_states, chat.id, states)
        window.messages()
        taken.append((time.perf_counter() - began) * 1_000)
        costs.append((time.process_time() - cpu) * 1_000)
    store.close()
    tenth = max(1, count // 10)
    first, last = statistics.median(taken[:tenth]), statistics.median(taken[-tenth:])
    ordered = sorted(taken)
    return [
        # By the clock a busy machine's other work counts too: a turn waits for two threads.
        figure(
            f"turn overhead over {count:,} turns, p99, CPU", sorted(costs)[int(count * 0.99)], "ms", "<=", 30
        ),
        figure(
            f"turn overhead over {count:,} turns, p99, by the clock", ordered[int(count * 0.99)], "ms", "<=", 30
        ),
        figure("turn overhead, last tenth against first", last / first, "ratio", "<=", 1.5),
    ]
