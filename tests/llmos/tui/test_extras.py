from __future__ import annotations

import random
from pathlib import Path

import pytest

from llmos.tui import clipboard, handbook, mentions, templates
from llmos.tui.commands import COMMANDS, find_command
from llmos.tui.options import FaceOptions, read_options
from llmos.tui.screens.chat import ChatScreen
from llmos.tui.widgets.completion import Candidate, best
from llmos.tui.widgets.tool_block import ToolBlock
from llmos.types import Event, TextDelta, ThinkingDelta, ToolAsked, ToolCall, ToolDone, ToolResult
from tests.helpers.face import LARGE, face, screen_text, talk, wait_until
from tests.helpers.fake_session import FakeBackend, words

# Help


def test_the_handbook_finds_pages_by_words(tmp_path: Path) -> None:
    (tmp_path / "disk.md").write_text("# Your files\n\nAdd a folder.\n\n## Formats\n\nPDF and DOCX are read.\n")
    (tmp_path / "bad.md").write_bytes(b"\xff\xfe")
    hits = handbook.search("which PDF formats are read?", tmp_path)
    assert (hits[0].page, hits[0].title) == ("disk.md", "Formats")
    assert handbook.search("how do I rename a chat", tmp_path)[0].page in ("keys.md", "commands")
    assert handbook.search("the of and", tmp_path) == []
    assert handbook.search('")(*', tmp_path) == []


async def test_help_follows_the_focus_and_the_handbook_opens() -> None:
    async with face() as (pilot, screen):
        await talk(pilot, screen, "hello")
        await pilot.press("f1")
        await wait_until(pilot, lambda: "Type and press Enter" in screen_text(pilot))
        await pilot.press("escape", "ctrl+up", "f1")
        await wait_until(pilot, lambda: "The cursor stands on a block" in screen_text(pilot))
        await pilot.press("escape", "escape")
        screen.prompt.set_text("/help pin a chat")
        await pilot.press("enter")
        await wait_until(pilot, lambda: "Handbook" in screen_text(pilot))
        await pilot.press("enter")
        await wait_until(pilot, lambda: "c copy  Esc back" in screen_text(pilot))


async def test_jump_mode_puts_the_focus_where_the_letter_stands() -> None:
    async with face(size=LARGE) as (pilot, screen):
        await pilot.press("ctrl+t")
        await wait_until(pilot, lambda: len(pilot.app.screen_stack) > 1)
        await pilot.press("a")
        await wait_until(pilot, lambda: pilot.app.screen is screen)
        assert pilot.app.focused is screen.focus_chain[0]


@pytest.mark.parametrize("opens", ["ctrl+t", "f1"], ids=["jump", "reader"])
async def test_keys_that_come_in_one_go_end_a_dialog_once(opens: str) -> None:
    async with face(size=LARGE) as (pilot, screen):
        await pilot.press(opens)
        await wait_until(pilot, lambda: len(pilot.app.screen_stack) > 1)
        depth, dialog = len(pilot.app.screen_stack), pilot.app.screen
        for _ in range(3):
            dialog.dismiss(None)
        await wait_until(pilot, lambda: len(pilot.app.screen_stack) == depth - 1)
        assert pilot.app.screen is screen
        assert "Something went wrong" not in screen_text(pilot)


async def test_the_palette_finds_and_does() -> None:
    async with face() as (pilot, screen):
        await talk(pilot, screen, "hello")
        await pilot.press("ctrl+p", *"new chat")
        await wait_until(pilot, lambda: "New chat" in screen_text(pilot))
        await pilot.press("enter")
        await wait_until(pilot, lambda: screen.chat_id == "")


def test_every_slash_command_is_a_method_of_the_chat() -> None:
    for command in COMMANDS:
        assert hasattr(ChatScreen, command.call), command.name
    assert find_command("ren") is not None and find_command("re") is None


# Completion


def test_mentions_are_files_that_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes.md").write_text("x")
    (tmp_path / "two words.txt").write_text("x")
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    text = 'see @notes.md, @"two words.txt" and @folder/ but not me@example.org or @missing'
    found = [Path(name).name for name in mentions.mentioned_files(text)]
    assert found == ["notes.md", "two words.txt", "folder"]
    assert [one.value for one in mentions.file_candidates("@no")] == ["@notes.md"]
    assert {one.value for one in mentions.file_candidates("@")} == {"@notes.md", '@"two words.txt"', "@folder/"}
    assert mentions.file_candidates("@/nowhere/at/all") == []


async def test_a_mentioned_file_goes_with_the_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes.md").write_text("x")
    monkeypatch.chdir(tmp_path)
    backend = FakeBackend()
    async with face(backend) as (pilot, screen):
        await pilot.press(*"read @not")
        await wait_until(pilot, lambda: screen.completion.chosen is not None)
        await pilot.press("enter", "enter")
        await wait_until(pilot, lambda: backend.sent)
        assert backend.sent[0][1] == {"files": [str(tmp_path / "notes.md")]}


async def test_a_mentioned_chat_goes_with_the_message() -> None:
    backend = FakeBackend()
    async with face(backend) as (pilot, screen):
        await talk(pilot, screen, "about marmalade")
        first = screen.chat_id
        await pilot.press("ctrl+n")
        await wait_until(pilot, lambda: screen.chat_id == "")
        await talk(pilot, screen, 'compare @"chat:about marmalade"')
        assert backend.sent[-1][1] == {"chats": [first]}


def test_fuzzy_order() -> None:
    candidates = [Candidate(name) for name in ("rename", "new", "undelete", "export")]
    assert [one.value for one in best("ne", candidates)] == ["new", "rename", "undelete"]


# Templates, clipboard, options


def test_templates_have_variables(tmp_path: Path) -> None:
    (tmp_path / "mail.md").write_text("Dear {{name}}, about {{ topic }}: {{name}}")
    found = templates.find_templates(tmp_path)
    assert templates.variables(found["mail"]) == ["name", "topic"]
    assert templates.fill(found["mail"], {"name": "Ann"}) == "Dear Ann, about {{ topic }}: Ann"


def test_the_copy_command_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clipboard.shutil, "which", lambda name: f"/bin/{name}")
    assert clipboard.native_command({}, "linux") is None
    assert clipboard.native_command({"DISPLAY": ":0"}, "linux") == ["xclip", "-selection", "clipboard"]
    assert clipboard.native_command({}, "darwin") == ["pbcopy"]


def test_options_take_what_is_sound_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('keys = {"chat.new" = "f12", "chat.list" = 3}\n[face]\ntheme = 7\nslow = true\n')
    options = read_options(file)
    assert (options.theme, options.slow, dict(options.keys)) == ("", True, {"chat.new": "f12"})


# Other ways of showing


async def test_vi_keys_when_they_are_asked_for() -> None:
    async with face(options=FaceOptions(vi_keys=True)) as (pilot, screen):
        await pilot.press(*"one two", "escape", *"0dw")
        assert screen.prompt.text == " two"
        await pilot.press(*"ddA", *"new text", "enter")
        await wait_until(pilot, lambda: "You said: new text" in screen_text(pilot))


async def test_slow_mode_paints_the_answer_once() -> None:
    backend = FakeBackend(lambda text: [TextDelta("word "), 0.01] * 300)
    async with face(backend, options=FaceOptions(slow=True)) as (pilot, screen):
        screen.prompt.set_text("go")
        await pilot.press("enter")
        seen: list[str] = []

        def writing() -> bool:
            seen.append(screen_text(pilot))
            return "Writing … 1000 characters" in seen[-1]

        await wait_until(pilot, writing)
        assert "word word" not in next(text for text in seen if "Writing … 1000 characters" in text)
        await wait_until(pilot, lambda: "word word" in screen_text(pilot), 20)


async def test_no_color_draws_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with face() as (pilot, screen):
        await talk(pilot, screen, "hello")
        await pilot.press("ctrl+p")
        await wait_until(pilot, lambda: "What do you want to do?" in screen_text(pilot))
        await pilot.press("down")
        await pilot.pause()
        assert pilot.app.no_color
        reversed_texts = []
        for strip in pilot.app.screen._compositor.render_strips():
            for line_filter in pilot.app.get_line_filters():
                strip = strip.apply_filter(line_filter, pilot.app.background_colors[1])
            for text, style, _ in strip:
                if style is not None:
                    assert style.color is None or style.color.is_default
                    assert style.bgcolor is None or style.bgcolor.is_default
                    reversed_texts += [text] if style.reverse else []
        # The chosen line is still to be seen.
        assert any("Quit" in text for text in reversed_texts)


async def test_a_plugin_draws_the_result_of_its_tool() -> None:
    call = ToolCall("drawn", {"query": "x"})
    script: list[Event | float] = [
        ToolAsked(call),
        ToolDone(call, ToolResult("plain rows", data={"rows": 2}), 0.1),
        *words("Done."),
    ]
    async with face(FakeBackend(lambda text: script)) as (pilot, screen):
        await talk(pilot, screen, "draw")
        assert "drawn {'rows': 2}" in screen_text(pilot)
        assert "plain rows" not in screen_text(pilot)
        assert screen.query_one(ToolBlock).copy_text() == "plain rows"


async def test_chats_are_found_by_their_text_and_opened_there() -> None:
    async with face() as (pilot, screen):
        await talk(pilot, screen, "about marmalade")
        first = screen.chat_id
        await pilot.press("ctrl+n")
        await talk(pilot, screen, "about bread")
        await pilot.press("ctrl+r", *"marma")
        await wait_until(pilot, lambda: "marmalade" in screen_text(pilot))
        await pilot.press("enter")
        await wait_until(pilot, lambda: screen.chat_id == first and screen.cursor is not None)


async def test_a_search_without_a_hit_says_so() -> None:
    async with face() as (pilot, screen):
        await talk(pilot, screen, "hello")
        await pilot.press("ctrl+r", *"quokka")
        await wait_until(pilot, lambda: "nothing fits; Esc leaves" in screen_text(pilot))
        await pilot.press(*["backspace"] * 6)
        await wait_until(pilot, lambda: "nothing fits" not in screen_text(pilot))
        await pilot.press("escape")
        await wait_until(pilot, lambda: pilot.app.screen is screen)


async def test_find_in_the_chat_marks_the_block() -> None:
    async with face() as (pilot, screen):
        await talk(pilot, screen, "apple")
        await talk(pilot, screen, "pear")
        await pilot.press("f3", *"apple", "enter")
        await wait_until(pilot, lambda: screen.query(".-found"))
        assert screen.query(".-found").first().text == "You said: apple"
        await pilot.press("enter")
        await wait_until(pilot, lambda: screen.query(".-found").first().text == "apple")
        await pilot.press("escape")
        await wait_until(pilot, lambda: not screen.query("FindBar") and not screen.query(".-found"))


async def test_export_fork_and_settings_of_a_chat(tmp_path: Path) -> None:
    backend = FakeBackend()
    async with face(backend) as (pilot, screen):
        await talk(pilot, screen, "hello")
        first = screen.chat_id
        target = tmp_path / "chat.md"
        await screen.slash_export(str(target))
        assert "You said: hello" in target.read_text()
        await screen.slash_export(str(target))
        await wait_until(pilot, lambda: "choose another name" in screen_text(pilot))
        await screen.slash_set("temperature 0.2")
        await screen.slash_system("Be brief.")
        assert backend.store.chat_settings(first) == {"temperature": 0.2, "system_prompt": "Be brief."}
        await screen.slash_set("temperature warm")
        await wait_until(pilot, lambda: "must be a number" in screen_text(pilot))
        await screen.action_fork_chat()
        assert screen.chat_id != first
        assert [one.content for one in backend.store.branch(screen.chat_id)] == ["hello", "You said: hello"]


# Anything at all


@pytest.mark.parametrize("seed", [1, 2])
async def test_random_keys_crash_nothing_and_lose_no_text(seed: int) -> None:
    dice = random.Random(seed)
    call = ToolCall("python", {"code": "1"})
    backend = FakeBackend(
        lambda text: [ThinkingDelta("hm"), 0.01, *words("some *text*\n\n- a\n- b"), ToolAsked(call),
                      ToolDone(call, ToolResult("1")), 0.02, TextDelta("end")]
    )  # fmt: skip
    keys = [
        "enter", "escape", "ctrl+n", "ctrl+l", "ctrl+up", "ctrl+down", "up", "down", "tab", "shift+tab", "f1", "f2",
        "f3", "f4", "f6", "f7", "f8", "f9", "ctrl+p", "ctrl+r", "ctrl+o", "ctrl+t", "ctrl+j", "pageup", "pagedown",
        "home", "end", "space", "e", "r", "c", "x", "a", "slash", "left_square_bracket", "right_square_bracket",
        "ctrl+end", "backspace", "y", "n", "at",
    ]  # fmt: skip
    async with face(backend, size=dice.choice([(80, 24), (140, 40), (40, 12)])) as (pilot, _):
        for step in range(60):
            await pilot.press(dice.choice(keys))
            if step % 20 == 19:
                await pilot.resize_terminal(dice.randint(10, 150), dice.randint(4, 50))
        await pilot.pause()
        assert pilot.app.is_running
        stored = {
            message.content
            for trash in (False, True)
            for chat in backend.store.list_chats(limit=1_000, trash=trash)
            for rows in [
                backend.store.database.execute("SELECT id FROM messages WHERE chat_id = ?", (chat.id,))
            ]
            for row in rows
            if (message := backend.store.message(row["id"])) is not None
        }
        assert {text for text, _ in backend.sent} <= stored
