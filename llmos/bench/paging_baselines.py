"""What the paging benchmark compares with and counts by: a sliding window, plain BM25, new tokens."""

from __future__ import annotations

import sqlite3
from collections import deque

from llmos.conversation.conversation import Conversation
from llmos.conversation.session import Session
from llmos.types import TurnStats

#: Tokens of a sliding window that are kept free for the answer.
_RESERVE = 256
#: Tokens that a template puts around a message, roughly.
_AROUND = 8


class SlidingWindow:
    """The last messages that fit, and nothing else; when it slides, all that is left is evaluated anew.

    Args:
        size: tokens of the context.
    """

    def __init__(self, size: int) -> None:
        self._room = size - _RESERVE
        self._held: deque[tuple[str, int]] = deque()
        self._used = 0
        self.evaluated = 0

    def holds(self, text: str) -> bool:
        """Whether a text is in the window."""
        return any(text in held for held, _ in self._held)

    def add(self, *messages: tuple[str, int]) -> None:
        """One turn's messages, each with its tokens."""
        new = sum(tokens + _AROUND for _, tokens in messages)
        self._held.extend((text, tokens + _AROUND) for text, tokens in messages)
        self._used += new
        slid = False
        while self._used > self._room and len(self._held) > 1:
            self._used -= self._held.popleft()[1]
            slid = True
        self.evaluated += self._used if slid else new


class PlainWords:
    """BM25 over all that was said, nothing ranked apart, nothing fused: SQLite's FTS5 as it comes."""

    def __init__(self) -> None:
        self._db = sqlite3.connect(":memory:")
        self._db.execute("CREATE VIRTUAL TABLE said USING fts5(text, tokens UNINDEXED)")

    def add(self, *messages: tuple[str, int]) -> None:
        """Messages with their tokens."""
        self._db.executemany("INSERT INTO said VALUES (?, ?)", messages)

    def finds(self, told: str, question: str, budget: int) -> bool:
        """Whether a text is among the best pages for a question that fit the budget."""
        words = "".join(letter if letter.isalnum() else " " for letter in question).split()
        rows = self._db.execute(
            "SELECT text, tokens FROM said WHERE said MATCH ? ORDER BY bm25(said) LIMIT 50",
            (" OR ".join(f'"{word}"' for word in words),),
        )
        for text, tokens in rows:
            budget -= tokens + 16
            if budget < 0:
                return False
            if told in text:
                return True
        return False

    def close(self) -> None:
        """Free it."""
        self._db.close()


class NewTokens:
    """How many tokens of a prompt were not there before: the least that has to be evaluated.

    Without eviction that is what the sequence grew by. With eviction it is the prompt without what
    was kept of earlier turns, which is rendered alone to be measured.
    """

    def __init__(self) -> None:
        self._evaluated = 0
        self._closing: int | None = None

    async def of_turn(
        self, session: Session, conversation: Conversation, stats: TurnStats, evicted: bool
    ) -> int:
        """New tokens of the turn that ended now.

        Args:
            session: renders.
            conversation: its window is as the turn left it: the last two messages are the turn's own.
            stats: figures of the turn.
            evicted: whether pages left the window in it.
        """
        grew = stats.prompt_tokens - self._evaluated
        first = not self._evaluated
        # The last token of an answer was sampled but not evaluated yet.
        self._evaluated = stats.prompt_tokens + stats.completion_tokens - 1
        if first or (not evicted and self._closing is not None):
            return grew
        own = stats.prompt_tokens - await self._kept(session, conversation)
        if not evicted:  # what the template puts behind an answer, and the answer's last token
            self._closing = grew - own
            return grew
        return own + (self._closing or 0)

    async def _kept(self, session: Session, conversation: Conversation) -> int:
        """Tokens of the window without the present turn."""
        window = conversation.window
        slots = window.slots
        try:
            window.slots = slots[:-2]
            messages = window.messages()
        finally:
            window.slots = slots
        tools = session.plugins.tools()
        return len((await session.kernel.render_chat(messages, tools, add_generation_prompt=False)).tokens)
