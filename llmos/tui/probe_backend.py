"""A backend without a model, for measurements: it streams a fixed text at a given speed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llmos.conversation.store import Store
from llmos.guard.clean import clean
from llmos.plugins.contributions import CommandResult, Element, Persona
from llmos.tui.backend import Ask, CommandOffer, ModelChoice, PanelOffer
from llmos.tui.widgets.status_bar import StatusFigures
from llmos.types import (
    ApprovalAnswer,
    Event,
    Message,
    TextDelta,
    ToolResult,
    TurnDone,
    TurnStarted,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_PARTS = (
    "## Part {n}\n\nSome *text* with **weight**, `code` and a [link](https://example.org/{n}), "
    "long enough to wrap.\n\n",
    "".join(f"- item {k} of part {{n}} with a few words\n" for k in range(12)) + "\n",
    "| a | b | c |\n|---|--:|---|\n"
    + "".join(f"| row {k} | {k * 7} | cell of {{n}} |\n" for k in range(10))
    + "\n",
    "```python\n" + "".join(f"def f{k}(x):\n    return x + {k}  # {{n}}\n" for k in range(10)) + "```\n\n",
)


def long_answer(letters: int = 16_000) -> str:
    """About 4,000 tokens of lists, tables and code."""
    text, number = "", 0
    while len(text) < letters:
        text += _PARTS[number % len(_PARTS)].replace("{n}", str(number))
        number += 1
    return text


def fill(store: Store) -> tuple[str, str]:
    """10,000 chats, one of 200 and one of 5,000 messages; gives the ids of these two."""
    ids: list[str] = []
    with store.database.transaction():
        for number in range(10_000):
            chat = store.create_chat(f"chat number {number}")
            _talk(store, chat.id, 2, number)
        for count in (200, 5_000):
            chat = store.create_chat(f"long {count}")
            _talk(store, chat.id, count, 1)
            ids.append(chat.id)
    return ids[0], ids[1]


def _talk(store: Store, chat_id: str, count: int, seed: int) -> None:
    parent: str | None = None
    for message in _messages(chat_id, count, seed):
        message.parent_id = parent
        store.add_message(message)
        parent = message.id


def _messages(chat_id: str, count: int, seed: int) -> Iterator[Message]:
    for number in range(count):
        if number % 2 == 0:
            yield Message("user", f"question {number} of {seed} about marmalade", chat_id=chat_id)
        else:
            text = "An answer with **weight** and `code`.\n\n- one\n- two\n\n```python\nx = 1\n```\n"
            yield Message("assistant", f"{text}\nIt is {seed}.", chat_id=chat_id)


class ProbeBackend:
    """Streams ``long_answer`` word by word.

    Args:
        tokens_per_second: speed.
        tokens: how many; 0: the whole text, again and again for a minute.
    """

    def __init__(self, tokens_per_second: float = 100.0, tokens: int = 0) -> None:
        self._store = Store(None)
        self._speed = tokens_per_second
        self._tokens = tokens
        self._stopped = False

    @property
    def store(self) -> Store:
        """Chats in memory."""
        return self._store

    async def start(self, notify: Callable[[str, str], None], ask: Ask) -> None:
        """Nothing to open."""

    async def load_model(self, name: str = "") -> str:
        """Nothing to load."""
        return "probe"

    async def send(
        self, chat_id: str, text: str, *, edit_of: str = "", options: Mapping[str, Any] | None = None
    ) -> AsyncIterator[Event]:
        """Stream."""
        user = Message("user", text, chat_id=chat_id)
        self._store.add_message(user)
        answer = Message("assistant", "", chat_id=chat_id, parent_id=user.id)
        yield TurnStarted(user, answer.id)
        source = long_answer() * (1 if self._tokens else 4)
        pieces = [source[place : place + 4] for place in range(0, len(source), 4)]
        begin = asyncio.get_running_loop().time()
        for number, piece in enumerate(pieces[: self._tokens or None]):
            if self._stopped:
                break
            yield TextDelta(piece)
            answer.content += piece
            ahead = begin + number / self._speed - asyncio.get_running_loop().time()
            await asyncio.sleep(max(ahead, 0))
        self._store.add_message(answer)
        yield TurnDone(answer, None)

    async def regenerate(self, chat_id: str, message_id: str) -> AsyncIterator[Event]:
        """As ``send``."""
        async for event in self.send(chat_id, "again"):
            yield event

    async def fork(self, chat_id: str) -> str:
        """The same chat."""
        return chat_id

    async def stop(self, chat_id: str) -> bool:
        """Stop."""
        self._stopped = True
        return False

    async def answer_approval(self, approval_id: str, answer: ApprovalAnswer) -> None:
        """Nothing asks."""

    async def status(self, chat_id: str) -> StatusFigures:
        """Always ready."""
        return StatusFigures("probe", "ready", 100, 2048, 50.0, 48_000_000)

    async def models(self) -> Sequence[ModelChoice]:
        """None."""
        return ()

    def about_model(self) -> str:
        """Nothing."""
        return ""

    def commands(self) -> Sequence[CommandOffer]:
        """None."""
        return ()

    async def run_command(
        self, name: str, arguments: Mapping[str, Any], chat_id: str, write: Callable[[str], None]
    ) -> CommandResult:
        """None."""
        return CommandResult()

    def panels(self) -> Sequence[PanelOffer]:
        """None."""
        return ()

    async def panel_view(self, plugin: str, panel: str) -> Sequence[Element]:
        """Nothing."""
        return ()

    async def panel_act(self, plugin: str, panel: str, action: str, value: Any) -> str:
        """Nothing."""
        return ""

    async def status_texts(self) -> Mapping[str, str]:
        """None."""
        return {}

    async def draw_result(self, tool: str, result: ToolResult) -> Sequence[Element]:
        """Nothing."""
        return ()

    async def personas(self) -> Sequence[Persona]:
        """None."""
        return ()

    def typed(self) -> None:
        """Nothing waits here."""

    async def left_chat(self, chat_id: str) -> None:
        """Nothing to write."""

    def set_offline(self, offline: bool) -> None:
        """No network here."""

    def clean(self, text: str) -> str:
        """As the real one."""
        return clean(text)

    async def close(self) -> None:
        """Close the store."""
        self._store.close()
