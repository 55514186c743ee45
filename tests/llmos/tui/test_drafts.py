"""No text that a user wrote vanishes: chats change, histories are looked through, messages are edited."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.pilot import Pilot

from llmos.conversation.store import Store
from llmos.tui.drafts import (
    ASIDE_KEY,
    HISTORY_CHARACTERS,
    HISTORY_KEY,
    HISTORY_LEAST,
    HISTORY_LENGTH,
    Drafts,
    latest,
)
from llmos.tui.screens import chat_drafts
from llmos.tui.screens.chat import ChatScreen
from llmos.types import UserError
from tests.helpers.face import face, talk, wait_until
from tests.helpers.fake_session import FakeBackend

LARGE = "first line\n" + "many lines of it\n" * 30


async def paste(pilot: Pilot[None], screen: ChatScreen, text: str) -> None:
    screen.prompt.post_message(events.Paste(text))
    await wait_until(pilot, lambda: text in screen.prompt.full_text)


async def test_a_paste_for_a_new_chat_survives_a_message_in_another() -> None:
    backend = FakeBackend()
    async with face(backend) as (pilot, screen):
        await talk(pilot, screen, "in the first chat")
        first = screen.chat_id
        await pilot.press("ctrl+n")
        await paste(pilot, screen, LARGE)
        await screen.open_chat(first)
        assert screen.prompt.text == ""
        await talk(pilot, screen, "once more there")
        await pilot.press("ctrl+n")
        assert screen.prompt.full_text == LARGE


async def test_what_was_typed_just_now_is_kept_when_the_chat_changes() -> None:
    async with face() as (pilot, screen):
        await talk(pilot, screen, "one")
        first = screen.chat_id
        await pilot.press("ctrl+n")
        screen.prompt.insert("typed just now")
        # No time for any message of the prompt.
        await screen.open_chat(first)
        await screen.open_chat("")
        assert screen.prompt.text == "typed just now"


async def test_a_draft_is_of_its_chat_and_a_command_takes_none_away() -> None:
    async with face() as (pilot, screen):
        await talk(pilot, screen, "one")
        first = screen.chat_id
        await pilot.press("ctrl+n", *"for a new one")
        await screen.open_chat(first)
        screen.prompt.set_text("/new")
        await pilot.press("enter")
        await wait_until(pilot, lambda: not screen.chat_id)
        assert screen.prompt.text == "for a new one"
        await screen.open_chat(first)
        assert screen.prompt.text == ""


async def test_an_earlier_text_that_was_changed_stays_in_the_history() -> None:
    async with face() as (pilot, screen):
        await talk(pilot, screen, "one")
        await talk(pilot, screen, "two")
        await pilot.press(*"unsent", "home", "up", *" more", "down")
        assert screen.prompt.text == "unsent"
        await pilot.press("home", "up")
        assert screen.prompt.text == "two more"
        await pilot.press("ctrl+home", "up", "ctrl+home", "up")
        assert screen.prompt.text == "one"
        await pilot.press("end", *"!", "home", "up", "down", "down", "down", "down", "down")
        assert screen.prompt.text == "unsent"
        assert screen.prompt.earlier == ["one", "two", "two more", "one!"]


async def test_enter_twice_sends_once_and_what_is_typed_after_enter_stays() -> None:
    backend = FakeBackend()
    async with face(backend) as (pilot, screen):
        screen.prompt.insert("hello")
        screen.prompt.action_send()
        screen.prompt.action_send()
        screen.prompt.insert(" and then")
        await wait_until(pilot, lambda: backend.sent and not screen.face.turns)
        await pilot.pause(0.2)
        assert [text for text, _ in backend.sent] == ["hello"]
        assert screen.prompt.text == " and then"


async def test_a_chip_stays_whole() -> None:
    async with face() as (pilot, screen):
        await pilot.press(*"see ")
        await paste(pilot, screen, LARGE)
        await pilot.press("left", "left", *"x")
        assert screen.prompt.full_text == f"see {LARGE}x"
        await pilot.press("left", "backspace")
        assert screen.prompt.full_text == "see x"
        await pilot.press("ctrl+z")
        assert screen.prompt.full_text == f"see {LARGE}x"
        await paste(pilot, screen, LARGE.upper())
        assert screen.prompt.full_text.count("\n") == 2 * LARGE.count("\n")


async def test_a_paste_that_names_a_chip_is_only_text() -> None:
    async with face() as (pilot, screen):
        other = "[pasted text 2: 32 lines, 521 characters]\n" + LARGE
        await paste(pilot, screen, other)
        await paste(pilot, screen, LARGE)
        assert screen.prompt.full_text == other + LARGE


async def test_an_edit_that_is_left_for_another_edit_or_chat_is_in_the_history() -> None:
    async with face() as (pilot, screen):
        await talk(pilot, screen, "one")
        await talk(pilot, screen, "two")
        screen.prompt.set_text("half a thought")
        ids = [block.message_id for block in screen.transcript.blocks if block.kind == "your message"]
        users = [one for one in await messages(screen) if one.role == "user"]
        assert len(users) == 2, ids
        screen.start_editing(users[0].id, "one")
        await pilot.press(*" changed")
        screen.start_editing(users[1].id, "two")
        await pilot.press(*" too")
        chat = screen.chat_id
        await screen.open_chat("")
        assert {"one changed", "two too"} <= set(screen.prompt.earlier)
        await screen.open_chat(chat)
        assert screen.prompt.text == "half a thought"


async def messages(screen: ChatScreen) -> list[Any]:
    await screen.reload_ids()
    return screen.messages


async def test_what_was_being_written_before_an_edit_survives_a_send_by_other_means() -> None:
    async with face() as (pilot, screen):
        await talk(pilot, screen, "one")
        screen.prompt.set_text("half a thought")
        (user,) = [one for one in await messages(screen) if one.role == "user"]
        screen.start_editing(user.id, "one")
        await pilot.press(*" changed")
        screen.send("as a command would")
        await wait_until(pilot, lambda: not screen.face.turns and not screen._sending)
        kept = [screen.prompt.full_text, *screen.prompt.earlier]
        assert "half a thought" in kept and "one changed" in kept


async def test_a_message_goes_to_the_chat_that_was_open_and_no_other_one() -> None:
    backend = FakeBackend()
    async with face(backend) as (pilot, screen):
        await talk(pilot, screen, "one")
        first = screen.chat_id
        await pilot.press("ctrl+n")
        screen.send("for a new chat")
        await screen.open_chat(first)
        screen.prompt.insert("a draft here")
        await wait_until(pilot, lambda: len(backend.sent) == 2 and not screen.face.turns)
        assert screen.chat_id == first and screen.prompt.text == "a draft here"
        other = next(chat for chat in backend.store.list_chats() if chat.id != first)
        assert backend.store.branch(other.id)[0].content == "for a new chat"
        assert [one.content for one in backend.store.branch(first) if one.role == "user"] == ["one"]


async def test_a_draft_of_the_last_run_waits_behind_what_is_typed_at_the_start() -> None:
    backend = FakeBackend()
    backend.store.save_draft("new", "of the last run")
    async with face(backend, loaded=False) as (pilot, screen):
        screen.prompt.insert("typed at once")
        await wait_until(pilot, lambda: "of the last run" in screen.prompt.earlier)
        assert screen.prompt.text == "typed at once"
        await pilot.press("home", "up")
        assert screen.prompt.text == "of the last run"


async def test_what_is_sent_at_the_start_does_not_end_the_old_history() -> None:
    backend = FakeBackend()
    backend.store.save_draft(HISTORY_KEY, json.dumps(["of old"]))
    async with face(backend, loaded=False) as (pilot, screen):
        screen.prompt.insert("sent at once")
        screen.prompt.action_send()
        await wait_until(pilot, lambda: backend.sent and "of old" in screen.prompt.earlier)
        await wait_until(
            pilot, lambda: json.loads(backend.store.draft(HISTORY_KEY)) == ["of old", "sent at once"]
        )


async def test_all_that_is_out_of_sight_at_the_end_is_there_at_the_next_start(tmp_path: Path) -> None:
    file = tmp_path / "chats.db"
    backend = FakeBackend()
    backend._store = Store(file)
    async with face(backend) as (pilot, screen):
        await talk(pilot, screen, "one")
        screen.prompt.set_text("unsent")
        await pilot.press("home", "up", *" more")
        chat = screen.chat_id
        # The last letter comes while the program ends.
        screen.prompt.insert("!")
    again = FakeBackend()
    again._store = Store(file)
    assert again.store.draft(chat) == "one more!"
    assert json.loads(again.store.draft(ASIDE_KEY)) == ["unsent"]
    async with face(again, chat=chat) as (pilot, screen):
        await wait_until(pilot, lambda: "unsent" in screen.prompt.earlier)
        assert screen.prompt.text == "one more!"
        await wait_until(pilot, lambda: again.store.draft(ASIDE_KEY) == "")


async def test_typing_without_a_pause_is_stored_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    async with face() as (pilot, screen):
        monkeypatch.setattr(chat_drafts, "DRAFT_SECONDS", 60.0)
        await screen.save_draft()
        await pilot.press("a")
        first = screen._draft_timer
        await pilot.press("b")
        later = screen._draft_timer
        assert later is not None and later is not first
        monkeypatch.setattr(chat_drafts, "LONGEST_SECONDS", 0.0)
        await pilot.press("c")
        assert screen._draft_timer is later
        await screen.save_draft()
        assert screen.face.backend is not None
        assert screen.face.backend.store.draft("new") == "abc"


async def test_what_could_not_be_stored_stays_noted() -> None:
    store = Store(None)
    drafts = Drafts()
    drafts.note("a", "text")
    drafts.note_history(["one"], ["aside"])
    written = store.save_draft

    def full(key: str, text: str) -> None:
        raise UserError("The disk is full.")

    store.save_draft = full  # type: ignore[method-assign]
    for _ in range(2):
        try:
            await drafts.write(store)
            raise AssertionError("it must tell")
        except UserError:
            pass
    assert await drafts.draft(store, "a") == "text"
    store.save_draft = written  # type: ignore[method-assign]
    await drafts.write(store)
    assert store.draft("a") == "text"
    assert json.loads(store.draft(HISTORY_KEY)) == ["one"]
    assert await drafts.load_history(store, []) == ["one", "aside"]
    drafts.note_history([str(number) for number in range(HISTORY_LENGTH + 5)], [])
    await asyncio.gather(drafts.write(store), drafts.write(store))
    stored = json.loads(store.draft(HISTORY_KEY))
    assert len(stored) == HISTORY_LENGTH and stored[-1] == str(HISTORY_LENGTH + 4)
    assert latest([]) == []
    assert len(latest(["x" * HISTORY_CHARACTERS] * (HISTORY_LEAST + 50))) == HISTORY_LEAST
    assert len(latest(["x" * (HISTORY_CHARACTERS // 300)] * 500)) == 300
    assert store.draft(ASIDE_KEY) == ""
