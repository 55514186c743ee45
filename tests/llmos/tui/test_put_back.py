"""A message that is refused comes back into the prompt, and what fits of one too long is offered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from llmos.conversation.errors import PromptTooLong
from llmos.types import Event, Message, TurnStarted
from tests.helpers.face import face, screen_text, talk, wait_until
from tests.helpers.fake_session import FakeBackend

LONG = "first words of it, " + "and more of it, " * 20


def told(screen: Any) -> str:
    """The notice in the chat, once the message is back."""
    texts = [block.text for block in screen.transcript.blocks if block.kind == "notice"]
    return texts[-1] if texts and screen.prompt.text else ""


class Narrow(FakeBackend):
    """Room for 18 letters; as the real one it stores a message before it is measured."""

    async def send(
        self, chat_id: str, text: str, *, edit_of: str = "", options: Mapping[str, Any] | None = None
    ) -> AsyncIterator[Event]:
        if len(text) > 18:
            user = Message("user", text, chat_id=chat_id)
            self.store.add_message(user)
            yield TurnStarted(user, "a")
            self.store.delete_message(user.id)
            raise PromptTooLong(len(text), 18, 64, text[:18])
        async for event in super().send(chat_id, text, edit_of=edit_of, options=options):
            yield event


async def test_a_message_too_long_comes_back_and_what_fits_is_offered() -> None:
    backend = Narrow()
    async with face(backend) as (pilot, screen):
        screen.prompt.set_text(LONG)
        await pilot.press("enter")
        await wait_until(pilot, lambda: told(screen))
        assert screen.prompt.full_text == LONG
        assert f"{len(LONG)} tokens long" in told(screen) and "has room for 18" in told(screen)
        assert "Alt+S keeps the beginning that fits" in told(screen)
        assert [type(block).__name__ for block in screen.transcript.blocks] == ["NoticeBlock"]
        await pilot.press("alt+s")
        assert screen.prompt.text == "first words of it,"
        await pilot.press("enter")
        await wait_until(pilot, lambda: "You said: first words of it," in screen_text(pilot))
        stored = backend.store.branch(backend.store.list_chats()[0].id)
        assert [one.content for one in stored if one.role == "user"] == ["first words of it,"]
        await pilot.press("up", "up")
        assert screen.prompt.full_text == LONG


async def test_a_large_one_comes_back_as_a_chip() -> None:
    async with face(Narrow()) as (pilot, screen):
        screen.prompt.set_text("x" * 5_000)
        await pilot.press("enter")
        await wait_until(pilot, lambda: told(screen))
        assert screen.prompt.text == "[text 1: 1 line, 5000 characters]"
        assert screen.prompt.full_text == "x" * 5_000


async def test_an_edit_too_long_goes_on_as_an_edit() -> None:
    backend = Narrow()
    async with face(backend) as (pilot, screen):
        await talk(pilot, screen, "one")
        await pilot.press("ctrl+up", "up", "e")
        assert screen.editing
        screen.prompt.set_text(LONG)
        await pilot.press("enter")
        await wait_until(pilot, lambda: told(screen))
        assert screen.editing and screen.prompt.full_text == LONG
        assert "You said: one" in screen_text(pilot)


async def test_what_was_being_written_survives_an_edit() -> None:
    async with face() as (pilot, screen):
        await talk(pilot, screen, "one")
        screen.prompt.set_text("half a tho")
        await pilot.press("ctrl+up", "up", "e")
        assert screen.prompt.text == "one"
        await pilot.press("escape")
        assert screen.prompt.text == "half a tho"
        await pilot.press("ctrl+up", "up", "e", "!", "enter")
        await wait_until(pilot, lambda: "You said: one!" in screen_text(pilot))
        assert screen.prompt.text == "half a tho"
