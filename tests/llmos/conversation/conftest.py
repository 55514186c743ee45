"""A conversation over the scripted kernel, the real store and the real guard."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from llmos.conversation.conversation import Conversation
from llmos.conversation.session import Session, open_session
from llmos.conversation.store import Store
from llmos.settings import Settings, folders
from llmos.types import Event, TextDelta
from tests.helpers.fake_kernel import FakeKernel
from tests.helpers.fake_plugins import FakePlugins


@dataclass
class Bench:
    """Session, kernel and plugins of one test."""

    session: Session
    kernel: FakeKernel
    plugins: FakePlugins
    events: list[Event] = field(default_factory=list)

    def chat(self, chat_id: str = "") -> Conversation:
        return self.session.conversation(chat_id)

    @property
    def store(self) -> Store:
        return self.session.store

    async def talk(self, conversation: Conversation, text: str, *args: Any, **options: Any) -> list[Event]:
        """Send and collect every event."""
        events = [event async for event in conversation.send(text, *args, options=options)]
        self.events.extend(events)
        return events


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def of_kind(events: list[Event], kind: type) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


@pytest.fixture
async def make_bench() -> AsyncIterator[Callable[..., Any]]:
    """Opens sessions over a scripted kernel: ``await make_bench(script, context=…)``."""
    open_ones: list[Any] = []

    async def make(
        script: list[Any] | None = None,
        *,
        context: int = 2_048,
        plugins: FakePlugins | None = None,
        home: Path | None = None,
        **chat: Any,
    ) -> Bench:
        kernel = FakeKernel(list(script or []), context=context)
        parts = plugins or FakePlugins()
        settings = Settings()
        settings.chat = settings.chat.model_copy(update=chat)
        manager = open_session(settings, face="test", where=folders(), kernel=kernel, plugins=parts)
        session = await manager.__aenter__()
        session.face_can_ask = True
        open_ones.append(manager)
        return Bench(session, kernel, parts)

    yield make
    for manager in reversed(open_ones):
        await manager.__aexit__(None, None, None)
