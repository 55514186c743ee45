"""A program that chats without end, to be killed: prints each message's id once it is promised.

``python -m tests.helpers.chatter [CHAT_ID]``; the folders come from ``LLMOS_HOME``.
"""

from __future__ import annotations

import asyncio
import sys

from llmos.conversation.session import open_session
from llmos.types import TextDelta, TurnStarted
from tests.helpers.fake_kernel import FakeKernel, Script
from tests.helpers.fake_plugins import FakePlugins


async def main(chat_id: str) -> None:
    """Send message after message; small window, so that pages are evicted all the time."""
    number = 0
    kernel = FakeKernel(context=256)
    async with open_session(face="test", kernel=kernel, plugins=FakePlugins()) as session:
        chat = session.conversation(chat_id)
        print(f"chat {chat.chat_id}", flush=True)
        while True:
            number += 1
            kernel.script.append(Script(f"Answer {number} " + "word " * 30, pause=0.001))
            async for event in chat.send(f"Message {number} of this run"):
                if isinstance(event, TurnStarted):
                    print(f"promised {event.user_message.id}", flush=True)
                elif isinstance(event, TextDelta):
                    print("text", flush=True)
            if number % 7 == 0:
                await session.leave(chat.chat_id)
                chat = session.conversation(chat.chat_id)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else ""))
