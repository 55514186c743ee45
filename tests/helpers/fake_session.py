"""A backend for the face whose turns follow a script; chats lie in a real store in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from llmos.conversation.store import Store
from llmos.plugins.contributions import Command, CommandContext, CommandResult, Element, Panel, Persona
from llmos.tui.backend import Ask, CommandOffer, ModelChoice, PanelOffer
from llmos.tui.widgets.status_bar import StatusFigures
from llmos.types import (
    SYSTEM_LABELS,
    ApprovalAnswer,
    ApprovalNeeded,
    Event,
    Message,
    Notice,
    TextDelta,
    ThinkingDelta,
    ToolAsked,
    ToolDone,
    ToolResult,
    TurnDone,
    TurnStarted,
    TurnStats,
    UserError,
    new_id,
)

Script = Callable[[str], Sequence[Event | float]]


def words(text: str) -> list[Event | float]:
    """A text as one piece a word."""
    pieces = text.split(" ")
    return [TextDelta(piece if place == 0 else f" {piece}") for place, piece in enumerate(pieces)]


class FakeBackend:
    """Answers by a script: events to give out, and seconds to wait between them."""

    def __init__(
        self,
        script: Script | None = None,
        *,
        model: str = "test-model",
        load_error: str = "",
        load_seconds: float = 0.0,
        panels: Sequence[tuple[str, Panel]] = (),
        commands: Sequence[Command] = (),
        about: str = "A small test model: it greets and answers about itself, and knows nothing else.",
    ) -> None:
        self._store = Store(None)
        self._script = script or (lambda text: words(f"You said: {text}"))
        self._model = model
        self._load_error = load_error
        self._load_seconds = load_seconds
        self._panels = panels
        self._commands = commands
        self._about = about
        self._loaded = ""
        self._stopped: dict[str, asyncio.Event] = {}
        self._approvals: dict[str, asyncio.Future[ApprovalAnswer]] = {}
        self.answers: list[ApprovalAnswer] = []
        self.sent: list[tuple[str, Mapping[str, Any] | None]] = []
        self.closed = False
        #: The next stop has the answer come at once, as while it is being thought about.
        self.thinks = False

    @property
    def store(self) -> Store:
        return self._store

    async def start(self, notify: Callable[[str, str], None], ask: Ask) -> None:
        self.notify, self.ask = notify, ask

    async def load_model(self, name: str = "") -> str:
        await asyncio.sleep(self._load_seconds)
        if self._load_error:
            raise UserError(self._load_error)
        self._loaded = name or self._model
        return self._loaded

    async def send(
        self, chat_id: str, text: str, *, edit_of: str = "", options: Mapping[str, Any] | None = None
    ) -> AsyncIterator[Event]:
        self.sent.append((text, options))
        chat = self.store.chat(chat_id)
        parent = chat.leaf_id if chat is not None else None
        if edit_of:
            old = self.store.message(edit_of)
            parent = old.parent_id if old is not None else None
        user = Message("user", text, chat_id=chat_id, parent_id=parent)
        self.store.add_message(user)
        async for event in self._answer(user):
            yield event

    async def regenerate(
        self, chat_id: str, message_id: str, options: Mapping[str, Any] | None = None
    ) -> AsyncIterator[Event]:
        self.sent.append(("", options))
        user = self.store.message(message_id)
        if user is not None and user.role != "user" and user.parent_id is not None:
            user = self.store.message(user.parent_id)
        assert user is not None
        async for event in self._answer(user):
            yield event

    async def _answer(self, user: Message) -> AsyncIterator[Event]:
        stopped = self._stopped[user.chat_id] = asyncio.Event()
        answer = Message(
            "assistant", "", chat_id=user.chat_id, parent_id=user.id, labels=SYSTEM_LABELS, status="partial"
        )
        yield TurnStarted(user, answer.id)
        status = "complete"
        for step in self._script(user.content):
            if stopped.is_set():
                status = "stopped"
                break
            if isinstance(step, float | int):
                await asyncio.sleep(step)
                continue
            if isinstance(step, ToolDone):
                call = step.call
                asked = replace(answer, id=new_id(), status="complete", tool_calls=(call,))
                self.store.add_message(asked)
                result = Message(
                    "tool", step.result.text, chat_id=user.chat_id, parent_id=asked.id,
                    name=call.name, tool_call_id=call.id,
                )  # fmt: skip
                self.store.add_message(result)
                answer = replace(answer, parent_id=result.id, content="", thinking="")
            yield step
            if isinstance(step, TextDelta):
                answer.content += step.text
            elif isinstance(step, ThinkingDelta):
                answer.thinking += step.text
            elif isinstance(step, ApprovalNeeded):
                future: asyncio.Future[ApprovalAnswer] = asyncio.get_running_loop().create_future()
                self._approvals[step.approval.id] = future
                self.answers.append(await future)
            await asyncio.sleep(0)
        stats = TurnStats(120, 90, max(len(answer.content.split()), 1), 2.0, 0.25, 24.0,
                          "stopped" if status == "stopped" else "stop", self._model, 180, 2048)  # fmt: skip
        answer = replace(
            answer,
            status=status,
            stats={
                "completion_tokens": stats.completion_tokens,
                "tokens_per_second": 24.0,
                "first_token_seconds": 0.25,
                "prompt_tokens": 120,
                "cached_tokens": 90,
            },
        )
        self.store.add_message(answer)
        del self._stopped[user.chat_id]
        yield TurnDone(answer, stats)

    async def fork(self, chat_id: str) -> str:
        chat, parent = self.store.create_chat("copy"), None
        for message in self.store.branch(chat_id):
            copy = replace(message, id=new_id(), chat_id=chat.id, parent_id=parent)
            self.store.add_message(copy)
            parent = copy.id
        return chat.id

    async def stop(self, chat_id: str) -> bool:
        if self.thinks:
            self.thinks = False
            return True
        if chat_id in self._stopped:
            self._stopped[chat_id].set()
        for future in self._approvals.values():
            if not future.done():
                future.set_result("deny")
        return False

    async def answer_approval(self, approval_id: str, answer: ApprovalAnswer) -> None:
        self._approvals[approval_id].set_result(answer)

    async def status(self, chat_id: str) -> StatusFigures:
        state = "generating" if self._stopped else "ready" if self._loaded else "loading"
        return StatusFigures(
            self._loaded or "loading the model", state, 180 if chat_id else 0, 2048, 24.0 if chat_id else 0.0,
            48_000_000, offline=True,
        )  # fmt: skip

    async def models(self) -> Sequence[ModelChoice]:
        return [
            ModelChoice("test-model", "test-model", "4 MB, bundled"),
            ModelChoice("/models/other.gguf", "other", "120 MB, /models"),
        ]

    def about_model(self) -> str:
        return self._about if self._loaded else ""

    def commands(self) -> Sequence[CommandOffer]:
        return [CommandOffer(one.name, one.help, one.parameters) for one in self._commands]

    async def run_command(
        self, name: str, arguments: Mapping[str, Any], chat_id: str, write: Callable[[str], None]
    ) -> CommandResult:
        command = next(one for one in self._commands if one.name == name)
        result = command.function(CommandContext("tui", chat_id, write), **arguments)
        return result if isinstance(result, CommandResult) else CommandResult(str(result))

    def panels(self) -> Sequence[PanelOffer]:
        return [PanelOffer(name, one.id, one.title, one.place, one.refresh) for name, one in self._panels]

    def _panel(self, panel: str) -> Panel:
        return next(one for _, one in self._panels if one.id == panel)

    async def panel_view(self, plugin: str, panel: str) -> Sequence[Element]:
        return self._panel(panel).view()

    async def panel_act(self, plugin: str, panel: str, action: str, value: Any) -> str:
        act = self._panel(panel).act
        return (act(action, value) if act is not None else None) or ""

    async def status_texts(self) -> Mapping[str, str]:
        return {}

    async def draw_result(self, tool: str, result: ToolResult) -> Sequence[Element]:
        return [Element("text", {"markdown": f"*drawn* {result.data}"})] if tool == "drawn" else ()

    async def personas(self) -> Sequence[Persona]:
        return [Persona("tutor", "You teach.", description="Explains step by step")]

    def typed(self) -> None:
        self.typed_times = getattr(self, "typed_times", 0) + 1

    async def left_chat(self, chat_id: str) -> None:
        self.left = chat_id

    def set_offline(self, offline: bool) -> None:
        self.offline = offline

    def clean(self, text: str) -> str:
        return text.replace("\x1b", "")

    async def close(self) -> None:
        self.closed = True
        self.store.close()


__all__ = ["FakeBackend", "Notice", "ToolAsked", "words"]
