"""Where the time of a turn goes before its evaluation begins: the parts of it, and its slowest turns.

Functions of the conversation and of the RAM plugin are replaced, while it measures, by ones that
book their time by the clock and, where they do not wait, of their thread's processor.
"""

from __future__ import annotations

import inspect
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

#: Share of the turns whose parts are told apart from the others.
WORST = 0.02


class Parts:
    """Books seconds under names, a turn at a time."""

    def __init__(self) -> None:
        self._now: dict[str, float] = defaultdict(float)
        #: (seconds of the turn, whether pages left the window, seconds by part).
        self.turns: list[tuple[float, bool, dict[str, float]]] = []

    def begin(self) -> None:
        """A turn begins: what was booked since the last one ended belongs to none."""
        self._now = defaultdict(float)

    def note(self) -> dict[str, float]:
        """What was booked since ``begin``; taken when evaluation begins, for later work is not overhead."""
        return dict(self._now)

    def end(self, seconds: float, evicted: bool, booked: dict[str, float]) -> None:
        """A turn ended that took so long before evaluation."""
        self.turns.append((seconds, evicted, booked))

    def timed(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """The function with its time booked."""
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def waits(*args: Any, **kwargs: Any) -> Any:
                began = time.perf_counter()
                try:
                    return await function(*args, **kwargs)
                finally:
                    self._now[name] += time.perf_counter() - began

            return waits

        @wraps(function)
        def works(*args: Any, **kwargs: Any) -> Any:
            began, processor = time.perf_counter(), time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                self._now[name] += time.perf_counter() - began
                self._now[f"{name} (processor)"] += time.thread_time() - processor

        return works

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Book the parts of every turn that runs meanwhile."""
        replaced: list[tuple[Any, str, Any]] = []
        try:
            for owner, method, name in _parts():
                if isinstance(owner, type):
                    owner = next(one for one in owner.__mro__ if method in vars(one))
                original = vars(owner)[method]
                replaced.append((owner, method, original))
                setattr(owner, method, self.timed(original, name))
            yield
        finally:
            for owner, method, original in reversed(replaced):
                setattr(owner, method, original)

    def lines(self) -> list[str]:
        """Lines: mean milliseconds of each part in all turns, in those that evicted, in the slowest."""
        if not self.turns:
            return []
        slowest = sorted(self.turns, key=lambda turn: -turn[0])[: max(1, int(WORST * len(self.turns)))]
        groups = [
            ("all", self.turns),
            ("evicting", [turn for turn in self.turns if turn[1]]),
            (f"slowest {WORST:.0%}", slowest),
        ]
        names = list(dict.fromkeys(name for _, _, booked in self.turns for name in booked))
        rows = [("turns", [float(len(turns)) for _, turns in groups])]
        rows.append(("before evaluation begins", [1e3 * _mean([t[0] for t in turns]) for _, turns in groups]))
        for name in sorted(names, key=lambda one: -_mean([t[2].get(one, 0.0) for t in slowest])):
            rows.append((name, [1e3 * _mean([t[2].get(name, 0.0) for t in turns]) for _, turns in groups]))
        head = f"milliseconds, mean of: {' / '.join(name for name, _ in groups)}"
        return [head, *(f"{name}: {' / '.join(f'{value:.2f}' for value in values)}" for name, values in rows)]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _parts() -> list[tuple[Any, str, str]]:
    """(owner, attribute, name of the part); parts may lie within one another."""
    from llmos_ram import pager, recall
    from llmos_ram.chat_rows import ChatRows
    from llmos_ram.page_vectors import PageVectors
    from llmos_ram.page_words import PageWords
    from llmos_ram.pager import Pager
    from llmos_ram.summaries import Summaries
    from llmos_ram.vectors import ChatVectors

    from llmos.conversation.budget import Budget
    from llmos.conversation.conversation import Conversation
    from llmos.conversation.store import Store
    from llmos.conversation.turn import TurnRun
    from llmos.kernel.client import KernelClient
    from llmos.plugins.manager import PluginManager

    return [
        (Store, "run", "store, off the loop"),
        (Store, "add_message", "store: message"),
        (Store, "update_message", "store: pages of a message"),
        (Store, "set_page_states", "store: states of pages"),
        (Store, "branch", "store: end of the branch"),
        (Conversation, "_settings_unless_moved", "store: has the chat moved on"),
        (Conversation, "_keep", "keep the message"),
        (Conversation, "_parts", "settings and tools"),
        (TurnRun, "bring_pages", "bring pages"),
        (TurnRun, "_fit", "fit the window"),
        (Budget, "context_room", "bring pages: count"),
        (Budget, "take_within", "bring pages: count what is brought"),
        (Budget, "_evict", "fit: evict"),
        (KernelClient, "render_chat", "fit: render"),
        (KernelClient, "_tokens_of", "fit: render: tokens"),
        (PluginManager, "context", "plugins: context"),
        (PluginManager, "evict", "plugins: eviction order"),
        (Pager, "context", "ram: context"),
        (Pager, "evict", "ram: eviction order"),
        (Pager, "_memories_for", "ram: memories"),
        (ChatRows, "follow", "ram: follow the branch"),
        (PageVectors, "query", "ram: embed the query"),
        (PageVectors, "of_chat", "ram: vectors of the chat"),
        (PageWords, "search_kinds", "ram: words"),
        (ChatVectors, "nearest", "ram: meaning"),
        (recall, "newer_first", "ram: versions"),
        (pager, "search", "ram: search"),
        (pager, "within_budget", "ram: budget"),
        (Summaries, "recall", "ram: summaries"),
    ]
