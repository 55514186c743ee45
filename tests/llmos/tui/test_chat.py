from __future__ import annotations

import asyncio
from typing import Any

from textual._compositor import LayoutUpdate

from llmos.tui.app import LlmosApp
from llmos.tui.widgets.answer import AnswerBlock
from llmos.tui.widgets.blocks import ThinkingBlock, UserBlock
from llmos.tui.widgets.tool_block import ApprovalBlock, ToolBlock
from llmos.types import (
    Approval,
    ApprovalNeeded,
    Citation,
    EffectClass,
    Event,
    Message,
    Notice,
    Page,
    TextDelta,
    ThinkingDelta,
    ToolAsked,
    ToolCall,
    ToolDone,
    ToolResult,
    UserError,
)
from tests.helpers.face import LARGE, face, screen_text, talk, wait_until
from tests.helpers.fake_session import FakeBackend, words

CALL = ToolCall("python", {"code": "print(2 + 2)"})


def with_tool(text: str) -> list[Event | float]:
    approval = Approval(CALL, EffectClass.EXECUTE, "print(2 + 2)", "Running code.", scopes=("once", "chat"))
    return [
        *words("Let me compute."),
        ToolAsked(CALL),
        ApprovalNeeded(approval),
        ToolDone(CALL, ToolResult("4"), 0.4),
        *words("It is 4."),
    ]


def kinds(screen: object) -> list[str]:
    return [type(block).__name__ for block in screen.transcript.blocks]  # type: ignore[attr-defined]


async def test_typing_works_before_the_model_is_loaded_and_the_text_is_kept() -> None:
    async with face(FakeBackend(load_seconds=0.4), loaded=False) as (pilot, screen):
        await pilot.press(*"hello")
        assert screen.prompt.text == "hello"
        await wait_until(pilot, lambda: screen.face.figures.state == "ready")
        assert screen.prompt.text == "hello"
        await pilot.press("enter")
        await wait_until(pilot, lambda: "You said: hello" in screen_text(pilot))


async def test_a_turn_is_drawn_stored_and_named() -> None:
    backend = FakeBackend(lambda text: [ThinkingDelta("Hm. "), *words("Some **bold** text.")])
    async with face(backend) as (pilot, screen):
        await talk(pilot, screen, "first words")
        assert kinds(screen) == ["UserBlock", "ThinkingBlock", "AnswerBlock"]
        assert "Some bold text." in screen_text(pilot)
        assert "24 tokens/s" in screen_text(pilot)
        chats = backend.store.list_chats()
        assert [chat.title for chat in chats] == ["first words"]
        assert [one.role for one in backend.store.branch(chats[0].id)] == ["user", "assistant"]
        thoughts = screen.query_one(ThinkingBlock)
        assert thoughts.folded
        thoughts.toggle_fold()
        await pilot.pause()
        assert "Hm." in screen_text(pilot)


async def test_escape_stops_and_keeps_what_came() -> None:
    backend = FakeBackend(lambda text: [TextDelta("kept "), 0.2, *[TextDelta("x "), 0.02] * 200])
    async with face(backend) as (pilot, screen):
        screen.prompt.set_text("go")
        await pilot.press("enter")
        await wait_until(pilot, lambda: "kept" in screen_text(pilot))
        await pilot.press("escape")
        await wait_until(pilot, lambda: not screen.face.turns)
        assert "Stopped; what came before is kept." in screen_text(pilot)
        stored = backend.store.branch(screen.chat_id)[-1]
        assert stored.content.startswith("kept") and stored.status == "stopped"


async def test_a_tool_call_asks_first_and_only_a_deliberate_key_answers() -> None:
    backend = FakeBackend(with_tool)
    async with face(backend) as (pilot, screen):
        screen.prompt.set_text("compute")
        await pilot.press("enter")
        await wait_until(pilot, lambda: screen.query(ApprovalBlock))
        block = screen.query_one(ApprovalBlock)
        await wait_until(pilot, lambda: block.has_focus)
        await pilot.press("y")  # too soon: it was meant for something else
        assert block.answer is None
        await asyncio.sleep(ApprovalBlock.GRACE_SECONDS)
        await pilot.press("a")  # not among the offered scopes
        assert block.answer is None
        await pilot.press("y")
        await wait_until(pilot, lambda: not screen.face.turns)
        assert backend.answers == ["once"]
        assert kinds(screen) == ["UserBlock", "AnswerBlock", "ToolBlock", "ApprovalBlock", "AnswerBlock"]
        assert screen.query_one(ToolBlock).copy_text() == "4"
        # Opened again, the stored chat shows the same blocks without the question.
        await screen.open_chat(screen.chat_id)
        await pilot.pause()
        assert kinds(screen) == ["UserBlock", "AnswerBlock", "ToolBlock", "AnswerBlock"]


async def test_a_question_does_not_take_the_keys_of_somebody_who_types() -> None:
    backend = FakeBackend(with_tool)
    async with face(backend) as (pilot, screen):
        screen.prompt.set_text("compute")
        await pilot.press("enter")
        await pilot.press(*"yes")
        await wait_until(pilot, lambda: screen.query(ApprovalBlock))
        await pilot.pause(0.1)
        assert screen.query_one(ApprovalBlock).answer is None
        await pilot.press("escape")
        await wait_until(pilot, lambda: not screen.face.turns)
        assert backend.answers == ["deny"]


async def test_new_switch_rename_delete_and_undo() -> None:
    backend = FakeBackend()
    async with face(backend, size=LARGE) as (pilot, screen):
        await talk(pilot, screen, "alpha")
        first = screen.chat_id
        await pilot.press("ctrl+n")
        await wait_until(pilot, lambda: screen.chat_id == "")
        await talk(pilot, screen, "beta")
        await screen.open_chat(first)
        await wait_until(pilot, lambda: "You said: alpha" in screen_text(pilot))
        await pilot.press("f2")
        await wait_until(pilot, lambda: len(pilot.app.screen_stack) > 1)
        await pilot.press("end", *" two", "enter")
        await wait_until(pilot, lambda: screen.chat_title == "alpha two")
        await pilot.press("f8")
        await wait_until(pilot, lambda: screen.chat_id == "")
        assert [chat.title for chat in backend.store.list_chats()] == ["beta"]
        await pilot.press("f9")
        await wait_until(pilot, lambda: screen.chat_id == first)
        assert "alpha two" in screen_text(pilot)


async def test_a_turn_goes_on_while_another_chat_is_open() -> None:
    backend = FakeBackend(lambda text: [TextDelta("begun "), 0.5, TextDelta("ended")])
    async with face(backend) as (pilot, screen):
        screen.prompt.set_text("long")
        await pilot.press("enter")
        await wait_until(pilot, lambda: "begun" in screen_text(pilot))
        first = screen.chat_id
        await pilot.press("ctrl+n")
        await wait_until(pilot, lambda: screen.chat_id == "")
        assert "begun" not in screen_text(pilot)
        await screen.open_chat(first)
        await wait_until(pilot, lambda: "begun" in screen_text(pilot))
        await wait_until(pilot, lambda: "begun ended" in screen_text(pilot))
        await wait_until(pilot, lambda: not screen.face.turns)
        assert kinds(screen) == ["UserBlock", "AnswerBlock"]


async def test_edit_branches_and_the_brackets_switch() -> None:
    backend = FakeBackend()
    async with face(backend) as (pilot, screen):
        await talk(pilot, screen, "one")
        await pilot.press("ctrl+up", "home", "e")
        await wait_until(pilot, lambda: screen.editing != "")
        assert screen.prompt.text == "one"
        await pilot.press(*" more", "enter")
        await wait_until(pilot, lambda: "You said: one more" in screen_text(pilot))
        await wait_until(pilot, lambda: screen.query(UserBlock).first().branch == "2/2")
        assert "You said: one more" in screen_text(pilot)
        await pilot.press("ctrl+up", "home", "left_square_bracket")
        await wait_until(pilot, lambda: screen.query(UserBlock).first().branch == "1/2")
        assert [block.text for block in screen.query(AnswerBlock)] == ["You said: one"]


async def test_an_answer_can_be_made_again() -> None:
    answers = iter(["first answer", "second answer"])
    backend = FakeBackend(lambda text: words(next(answers)))
    async with face(backend) as (pilot, screen):
        await talk(pilot, screen, "hi")
        await pilot.press("ctrl+up", "r")
        await wait_until(pilot, lambda: "second answer" in screen_text(pilot))
        await wait_until(pilot, lambda: screen.query(AnswerBlock).first().branch == "2/2")
        assert kinds(screen) == ["UserBlock", "AnswerBlock"]


async def test_an_answer_stopped_before_its_first_word_can_be_made_again() -> None:
    tries = iter([[3.0], words("now it comes")])
    backend = FakeBackend(lambda text: next(tries))
    async with face(backend) as (pilot, screen):
        screen.prompt.set_text("hi")
        await pilot.press("enter")
        await wait_until(pilot, lambda: screen.turn is not None and screen.turn.user_message)
        await pilot.press("escape")
        await wait_until(pilot, lambda: not screen.face.turns)
        await pilot.press("ctrl+up", "r")
        await wait_until(pilot, lambda: "now it comes" in screen_text(pilot))
        assert kinds(screen) == ["UserBlock", "AnswerBlock"]


async def test_copying_blocks_code_and_the_chat() -> None:
    backend = FakeBackend(lambda text: words("Look:\n\n```py\nx = 1\n```\n"))
    async with face(backend) as (pilot, screen):
        await talk(pilot, screen, "show")
        await pilot.press("ctrl+up", "c")
        assert pilot.app.clipboard.startswith("Look:")
        await pilot.press("x")
        assert pilot.app.clipboard == "x = 1\n"
        await pilot.press("escape", "f7")
        assert pilot.app.clipboard.startswith("Look:")
        await screen.action_copy_chat()
        assert "show" in pilot.app.clipboard and "x = 1" in pilot.app.clipboard


async def test_the_mouse_selects_and_control_c_copies_then_asks_before_it_quits() -> None:
    async with face() as (pilot, screen):
        await talk(pilot, screen, "hello there")
        answer = screen.query(AnswerBlock).first()
        await pilot.mouse_down(answer, offset=(2, 0))
        await pilot.hover(answer, offset=(10, 0))
        await pilot.mouse_up(answer, offset=(10, 0))
        await pilot.pause()
        await pilot.press("ctrl+c")
        assert pilot.app.clipboard and pilot.app.clipboard in "You said: hello there"
        await pilot.press("ctrl+c")
        assert "Press Ctrl+C again to quit." in screen_text(pilot)
        await pilot.press("ctrl+c")
        await wait_until(pilot, lambda: pilot.app._exit)


async def test_citations_are_listed_and_open() -> None:
    page = Page("The cited passage.", source="notes.md", heading="Part", number=1)
    backend = FakeBackend(lambda text: [*words("See [1]."), Citation(1, page)])
    async with face(backend) as (pilot, screen):
        await talk(pilot, screen, "where")
        assert "[1] notes.md > Part" in screen_text(pilot)
        await pilot.press("ctrl+up", "enter")
        await wait_until(pilot, lambda: "The cited passage." in screen_text(pilot))


async def test_scrolled_up_the_view_stays_and_new_text_is_marked() -> None:
    long = words("\n\n".join(f"paragraph {number}" for number in range(30)))
    backend = FakeBackend(lambda text: [*long, 0.3, *[TextDelta(" more"), 0.01] * 40])
    async with face(backend) as (pilot, screen):
        screen.prompt.set_text("go")
        await pilot.press("enter")
        await wait_until(pilot, lambda: "paragraph 29" in screen_text(pilot))
        await pilot.press("pageup")
        await pilot.pause()
        place = screen.transcript.scroll_offset.y
        await wait_until(pilot, lambda: "new below" in screen_text(pilot))
        await wait_until(pilot, lambda: not screen.face.turns)
        assert screen.transcript.scroll_offset.y == place
        await pilot.press("ctrl+end")
        await wait_until(pilot, lambda: "new below" not in screen_text(pilot))
        assert screen.transcript.at_end


async def test_a_long_chat_mounts_its_end_and_brings_older_messages_on_scroll() -> None:
    backend = FakeBackend()
    chat = backend.store.create_chat("long")
    parent = None
    for number in range(120):
        role = "user" if number % 2 == 0 else "assistant"
        message = Message(role, f"message {number}", chat_id=chat.id, parent_id=parent)  # type: ignore[arg-type]
        backend.store.add_message(message)
        parent = message.id
    async with face(backend, chat=chat.id) as (pilot, screen):
        await wait_until(pilot, lambda: "message 119" in screen_text(pilot))
        assert len(screen.transcript.blocks) == 50
        screen.transcript.focus()
        await pilot.press("home")
        await wait_until(pilot, lambda: len(screen.transcript.blocks) == 100)
        assert screen.transcript.blocks[0].text == "message 20"
        assert "message 7" in screen_text(pilot), "what was in sight stays in sight"


async def test_errors_and_notices_are_one_line_and_the_text_is_not_lost() -> None:
    async def failing(self: object, *args: object, **options: object) -> object:
        raise UserError("The prompt is 900 tokens long; 512 fit.")
        yield

    backend = FakeBackend(lambda text: [Notice("The kernel was restarted.", "warning"), *words("ok")])
    async with face(backend) as (pilot, screen):
        await talk(pilot, screen, "hi")
        assert "The kernel was restarted." in screen_text(pilot)
        backend.send = failing.__get__(backend)  # type: ignore[method-assign]
        screen.prompt.set_text("too long")
        await pilot.press("enter")
        await wait_until(pilot, lambda: "900 tokens long; 512 fit." in screen_text(pilot))
        await wait_until(pilot, lambda: screen.prompt.text == "too long")


async def test_a_missing_model_is_told_and_the_chat_stays() -> None:
    backend = FakeBackend(load_error="There is no model file at /x.gguf; see `llmos models list`.")
    async with face(backend, loaded=False) as (pilot, screen):
        await wait_until(pilot, lambda: "There is no model file at /x.gguf" in screen_text(pilot))
        await pilot.press(*"still here")
        assert screen.prompt.text == "still here"


async def test_control_characters_from_the_model_never_reach_the_screen() -> None:
    backend = FakeBackend(lambda text: [TextDelta("a\x1b]52;c;aGk=\x07b"), ThinkingDelta("\x1b[31mred")])
    async with face(backend) as (pilot, screen):
        await talk(pilot, screen, "x")
        assert "\x1b" not in screen_text(pilot)
        assert all("\x1b" not in block.text for block in screen.transcript.blocks)


async def test_a_tiny_terminal_does_not_crash() -> None:
    async with face(FakeBackend(with_tool), size=(20, 5)) as (pilot, screen):
        screen.prompt.set_text("compute")
        await pilot.press("enter")
        await wait_until(pilot, lambda: screen.query(ApprovalBlock))
        await pilot.press("f1")
        await pilot.pause()
        await pilot.press("escape", "ctrl+p")
        await pilot.pause()
        await pilot.press("escape", "f6", "f6", "ctrl+l")
        await pilot.resize_terminal(3, 2)
        await pilot.pause()
        await pilot.resize_terminal(140, 40)
        await pilot.pause()
        assert pilot.app.is_running


async def test_a_draft_survives() -> None:
    backend = FakeBackend()
    async with face(backend) as (pilot, screen):
        await talk(pilot, screen, "hi")
        await pilot.press(*"unsent words")
        await wait_until(pilot, lambda: backend.store.draft(screen.chat_id) == "unsent words")
        chat_id = screen.chat_id
        await pilot.press("ctrl+n")
        await wait_until(pilot, lambda: screen.chat_id == "")
        assert screen.prompt.text == ""
        await screen.open_chat(chat_id)
        assert screen.prompt.text == "unsent words"


async def test_first_run_says_what_the_model_is_and_offers_starters() -> None:
    async with face() as (pilot, screen):
        await wait_until(pilot, lambda: "A small test model" in screen_text(pilot))
        await pilot.click("#starters", offset=(3, 1))
        await wait_until(pilot, lambda: "You said:" in screen_text(pilot))
        assert not screen.query("Welcome")


async def test_the_list_stands_beside_the_chat_where_there_is_room() -> None:
    async with face(size=LARGE) as (pilot, screen):
        place = screen.query_one("#list-place")
        assert place.display
        await pilot.resize_terminal(80, 24)
        await wait_until(pilot, lambda: not place.display)
        await pilot.resize_terminal(*LARGE)
        await wait_until(pilot, lambda: place.display)
        await pilot.press("ctrl+l")
        await pilot.resize_terminal(80, 24)
        await pilot.resize_terminal(*LARGE)
        await wait_until(pilot, lambda: not screen.has_class("-narrow"))
        assert not place.display


async def test_the_keys_of_a_block_are_told_on_a_small_screen() -> None:
    async with face() as (pilot, screen):
        await talk(pilot, screen, "hello")
        await pilot.press("ctrl+up")
        await wait_until(pilot, lambda: "c copy" in screen_text(pilot).split("\n")[-1])
        assert "Esc back" in screen_text(pilot).split("\n")[-1]


async def test_the_first_frame_is_whole() -> None:
    app = LlmosApp(FakeBackend)
    frames: list[str] = []
    display = app._display

    def keep(screen: Any, update: Any) -> None:
        display(screen, update)
        if isinstance(update, LayoutUpdate):
            frames.append("\n".join("".join(part.text for part in line) for line in update.strips))

    app._display = keep  # type: ignore[method-assign]
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: frames)
    for part in ("Chat", "Settings", "Ask anything", "starting"):
        assert part in frames[0]


async def test_keys_on_a_block_that_has_left_do_nothing() -> None:
    async with face() as (pilot, screen):
        await talk(pilot, screen, "hello")
        await pilot.press("ctrl+up")
        block = screen.transcript.cursor
        assert isinstance(block, AnswerBlock)
        await block.remove()
        for key in ("e", "r", "c", "x", "space"):
            await pilot.press(key)
        assert not screen.editing and screen.transcript.cursor is None
        await pilot.press("up")
        assert isinstance(screen.transcript.cursor, UserBlock)
