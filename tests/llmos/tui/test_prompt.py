from __future__ import annotations

from textual import events

from llmos.tui.widgets.prompt import CHIP_LINES
from tests.helpers.face import face, screen_text, talk, wait_until
from tests.helpers.fake_session import FakeBackend


async def test_new_lines_history_and_what_was_not_sent() -> None:
    backend = FakeBackend()
    async with face(backend) as (pilot, screen):
        await pilot.press(*"one", "ctrl+j", *"two", "alt+enter", *"three")
        assert screen.prompt.text == "one\ntwo\nthree"
        await pilot.press("enter")
        await wait_until(pilot, lambda: not screen.face.turns and screen.transcript.blocks)
        assert backend.sent == [("one\ntwo\nthree", None)]
        await talk(pilot, screen, "second")
        await pilot.press(*"unsent", "home", "up")
        assert screen.prompt.text == "second"
        await pilot.press("ctrl+home", "up")
        assert screen.prompt.text == "one\ntwo\nthree"
        await pilot.press("down")
        assert screen.prompt.text == "second"
        await pilot.press("down")
        assert screen.prompt.text == "unsent"


async def test_a_large_paste_is_a_chip_and_is_sent_whole() -> None:
    backend = FakeBackend()
    pasted = "\n".join(f"line {number}" for number in range(CHIP_LINES + 5))
    async with face(backend) as (pilot, screen):
        await pilot.press(*"see ")
        pilot.app.post_message(events.Paste(pasted))
        await wait_until(pilot, lambda: "[pasted text 1:" in screen.prompt.text)
        assert "line 3" not in screen_text(pilot)
        await pilot.press("enter")
        await wait_until(pilot, lambda: backend.sent)
        assert backend.sent[0][0] == f"see {pasted}"
        pilot.app.post_message(events.Paste("short\ntext"))
        await pilot.pause(0.5)
        assert screen.prompt.text == "short\ntext"


async def test_slash_commands_complete_and_run() -> None:
    async with face() as (pilot, screen):
        await pilot.press(*"/ren")
        await wait_until(pilot, lambda: screen.completion.chosen is not None)
        assert screen.completion.chosen is not None and screen.completion.chosen.value == "/rename"
        await pilot.press("tab")
        assert screen.prompt.text == "/rename "
        screen.prompt.set_text("")
        await talk(pilot, screen, "hello")
        screen.prompt.set_text("/rename a better name")
        await pilot.press("enter")
        await wait_until(pilot, lambda: screen.chat_title == "a better name")
        screen.prompt.set_text("/nonsense")
        await pilot.press("enter")
        await wait_until(pilot, lambda: "No command is called /nonsense" in screen_text(pilot))


async def test_a_path_is_no_command() -> None:
    backend = FakeBackend()
    async with face(backend) as (pilot, screen):
        await talk(pilot, screen, "/etc/hosts what is this file")
        assert backend.sent[0][0].startswith("/etc/hosts")


async def test_readline_keys_are_kept() -> None:
    async with face() as (pilot, screen):
        await pilot.press(*"one two", "ctrl+a", *"X", "ctrl+e", *"Y")
        assert screen.prompt.text == "Xone twoY"
        await pilot.press("ctrl+w")
        assert screen.prompt.text == "Xone "
        await pilot.press("ctrl+u")
        assert screen.prompt.text == ""
