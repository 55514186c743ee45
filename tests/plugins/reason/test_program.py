"""The plugin in the program: thoughts are stored and not fed back, small talk is not slowed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from llmos.conversation.session import Session, open_session
from llmos.settings import Settings, folders
from llmos.types import PluginEvent, TextDelta, ThinkingDelta
from tests.helpers.fake_kernel import FakeKernel

THOUGHT = "<think>SECRET 2 and 5 make 7</think>"


@pytest.fixture
async def session() -> AsyncIterator[Session]:
    settings = Settings()
    settings.chat = settings.chat.model_copy(update={"titles": "off"})
    settings.plugins.disabled = ["disk", "web", "ram", "mcp", "code"]
    async with open_session(settings, face="test", where=folders(), kernel=FakeKernel()) as opened:
        yield opened


def kernel_of(session: Session) -> FakeKernel:
    assert isinstance(session.kernel, FakeKernel)
    return session.kernel


async def test_thoughts_are_stored_and_never_read_again(session: Session) -> None:
    kernel = kernel_of(session)
    kernel.script = [f"{THOUGHT}2 + 5 = 7"] * 2
    chat = session.conversation()
    events = [event async for event in chat.send("What is 2 + 5?", options={"think": "sure"})]
    assert any(isinstance(event, ThinkingDelta) and "SECRET" in event.text for event in events)
    stored = session.store.branch(chat.chat_id)[-1]
    assert "SECRET" in stored.thinking and "SECRET" not in stored.content
    assert all("SECRET" in one["thinking"] for one in stored.stats["reason"]["tries"])
    before = len(kernel.prompts)
    kernel.script = [f"{THOUGHT}3 + 5 = 8"] * 2
    async for _ in chat.send("And 3 + 5?", options={"think": "sure"}):
        pass
    later = kernel.prompts[before:]
    assert later and all("2 + 5 = 7" in prompt and "SECRET" not in prompt for prompt in later)


@pytest.mark.parametrize("text", ["hello", "Thanks a lot!", "Good morning"])
async def test_small_talk_costs_one_plain_generation(session: Session, text: str) -> None:
    kernel = kernel_of(session)
    kernel.script = ["Hello there."]
    events = [event async for event in session.conversation().send(text, options={"think": "30 s"})]
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Hello there."
    assert len(kernel.requests) == 1 and kernel.requests[0].samples == 1
    assert not any(isinstance(event, PluginEvent) for event in events)
    # The text streams: it does not wait for the end as the answer of a vote does.
    assert sum(isinstance(event, TextDelta) for event in events) > 1
