"""A program that pages without end, to be killed: it evicts, recalls, swaps KV states, summarises.

``python -m tests.helpers.pager_chatter MODEL [CHAT_ID]``; the folders come from ``LLMOS_HOME``. Real
store, real pager, real kernel. Each operation prints ``begin NAME`` before it starts and ``done
NAME …`` once it is committed, so that whoever kills it knows what it was doing and what must last.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from llmos.conversation.session import Session, open_session
from llmos.plugins import CommandContext
from llmos.settings import Settings
from llmos.types import PageIn, TurnStarted

OTHERS = ["disk", "web", "code", "mcp", "reason"]


def settings(model: str) -> Settings:
    """A window of a few turns, and the pager alone."""
    made = Settings()
    made.model.name = model
    made.model.context = 512
    made.model.threads = 1
    made.chat.system_prompt = "Be brief."
    made.chat.titles = "off"
    made.plugins.disabled = OTHERS
    return made


def say(*words: object) -> None:
    """One line, at once."""
    print(*words, flush=True)


def watched(name: str, work: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The same work, announced before and after."""

    async def run(*args: Any, **named: Any) -> Any:
        say("begin", name)
        result = await work(*args, **named)
        say("done", name, result if isinstance(result, int) else "")
        return result

    return run


def watch(session: Session) -> None:
    """Announce evictions, recalls, saves and restores."""
    states = session.store.set_page_states
    write = session.store.database.execute_many

    def write_slowly(sql: str, rows: Any) -> Any:
        result = write(sql, rows)
        time.sleep(0.02)  # written and not committed: the moment that a kill should meet
        return result

    def set_page_states(chat_id: str, pages: Any) -> None:
        pages = list(pages)
        say("begin", "evict")
        session.store.database.execute_many = write_slowly  # type: ignore[method-assign]
        states(chat_id, pages)
        session.store.database.execute_many = write  # type: ignore[method-assign]
        say("done", "evict", *[page.page_id for page in pages if page.swapped])

    session.store.set_page_states = set_page_states  # type: ignore[method-assign]
    session.swap.save = watched("save", session.swap.save)  # type: ignore[method-assign]
    session.swap.restore = watched("restore", session.swap.restore)  # type: ignore[method-assign]
    session.plugins.context = watched("recall", session.plugins.context)  # type: ignore[method-assign]


async def main(model: str, chat_id: str) -> None:
    """Tell facts, ask for old ones, leave and come back, summarise."""
    async with open_session(settings(model), face="test") as session:
        await session.load_model()
        watch(session)
        chat = session.conversation(chat_id)
        say("chat", chat.chat_id)
        summarise = watched("summarise", session.plugins.run_command)  # type: ignore[attr-defined]
        number = len(session.store.branch(chat.chat_id))
        while True:
            number += 1
            text = f"What is the code of locker {number // 2}?" if number % 3 == 0 else _fact(number)
            async for event in chat.send(text, options={"max_tokens": 4, "tool_rounds": 0}):
                if isinstance(event, TurnStarted):
                    say("promised", event.user_message.id)
                elif isinstance(event, PageIn):
                    say("brought", event.page.id)
            if number % 4 == 0:
                await session.leave(chat.chat_id)
                chat = session.conversation(chat.chat_id)
            if number % 10 == 0:
                await summarise("ram summarise", {"chat": chat.chat_id}, CommandContext("cli", chat.chat_id))


def _fact(number: int) -> str:
    return f"The code of locker {number} is {4000 + number}."


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""))
