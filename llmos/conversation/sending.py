"""What happens to a message that is sent: it is kept, pages are brought for it, it is answered."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from llmos.conversation.branches import BranchMixin
from llmos.conversation.errors import PromptTooLong
from llmos.conversation.history import LazyMessages
from llmos.conversation.keeping import KeepingMixin
from llmos.conversation.personas import with_persona
from llmos.conversation.ports import Plugins
from llmos.conversation.sampling import max_tokens_for, sampling_for, system_prompt_for, tools_for
from llmos.conversation.turn import TurnParts, TurnRun
from llmos.conversation.turnstile import Turnstile
from llmos.conversation.views import ViewMixin
from llmos.conversation.window import Window
from llmos.guard.api import GuardApi
from llmos.kernel.protocol import Kernel
from llmos.plugins.contributions import Turn
from llmos.settings import ChatSettings
from llmos.types import (
    AnswerNow,
    Approval,
    ApprovalAnswer,
    ApprovalNeeded,
    Event,
    Message,
    Page,
    TurnDone,
    TurnStarted,
    new_id,
)

#: What could be an address in a user's text.
ADDRESS = re.compile(r"\S[.:/]\S")

Emit = Callable[[Event], None]


class SendingMixin(BranchMixin, KeepingMixin, ViewMixin):
    """The turn of a conversation, from the user's text to the end of the answer."""

    kernel: Kernel
    guard: GuardApi
    plugins: Plugins
    settings: ChatSettings
    window: Window
    _opened: bool
    _user_texts: list[str]
    _result_urls: list[str]
    _approvals: dict[str, asyncio.Future[ApprovalAnswer]]
    _answer_now: AnswerNow
    _turnstile: Turnstile
    _on_death: Callable[[], None]
    _ensure_model: Callable[[Any], Awaitable[Any]]
    _spawn: Callable[[str, Awaitable[None]], None]
    _after_turn: Callable[[Any, Message, Message], Awaitable[None]] | None

    @property
    def sequence(self) -> str:
        """Name of the KV sequence that holds this chat."""
        raise NotImplementedError

    async def _send(self, emit: Emit, text: str, pages: list[Page], options: dict[str, Any]) -> None:
        """Keep a message and answer it."""
        of_chat = await self.store.run(self._settings_unless_moved) if self._opened else None
        if of_chat is None:
            await self.open()
            of_chat = await self.store.run(self.store.chat_settings, self.chat_id)
        user = Message("user", text, chat_id=self.chat_id, parent_id=self._leaf)
        user.pages = tuple(self.window.number(pages))
        before, self._leaf = self._leaf, user.id
        slot = self.window.append(user)
        if ADDRESS.search(text):
            self._user_texts.append(text)
        answer_id = new_id()
        storing = asyncio.create_task(self._keep(emit, user, answer_id))
        try:
            await self._answer(emit, user, answer_id, options, of_chat, storing)
        except BaseException:
            if storing.done() and not storing.cancelled() and storing.exception() is not None:
                self._leaf = before
                self.window.slots.remove(slot)
            raise

    async def _keep(self, emit: Emit, user: Message, answer_id: str) -> None:
        """Store the user's message, and tell that it is."""
        await self.store.run(self._store_user, user)
        emit(TurnStarted(user, answer_id))

    async def _answer_again(self, emit: Emit, user: Message, options: dict[str, Any]) -> None:
        """Answer a message that is stored, with the pages that it has."""
        of_chat = await self.store.run(self.store.chat_settings, self.chat_id)
        answer_id = new_id()
        emit(TurnStarted(user, answer_id))
        await self._answer(emit, user, answer_id, options, of_chat)

    async def _answer(
        self,
        emit: Emit,
        user: Message,
        answer_id: str,
        options: dict[str, Any],
        of_chat: Mapping[str, Any],
        storing: asyncio.Task[None] | None = None,
    ) -> None:
        """Everything after a message is in the window.

        Args:
            emit: takes the events.
            user: the message.
            answer_id: of the answer's first message.
            options: of the turn.
            of_chat: settings of the chat.
            storing: writes the message. Pages are looked for beside it, but whatever ends the turn
                ends it after that, and nothing is generated before.
        """
        turn: TurnRun | None = None
        try:
            try:
                if storing is not None and self.kernel.model is None:
                    await asyncio.shield(storing)  # loading takes long: what cannot be kept is told at once
                await self._ensure_model(self)
                turn = TurnRun(await self._parts(emit, options, of_chat), user, answer_id)
                if storing is not None:
                    await turn.bring_pages()
                    await asyncio.shield(storing)
                answer = await turn.run()
            finally:
                if storing is not None:
                    await asyncio.wait({storing})
        except PromptTooLong:
            await self.store.run(self._take_back, user)
            await self.open()
            raise
        except asyncio.CancelledError:
            nothing = Message("assistant", "", answer_id, self.chat_id, user.id, status="stopped")
            emit(TurnDone((turn.stopped() if turn is not None else None) or nothing, None))
            raise
        finally:
            if turn is not None and self._leaf == user.id:
                self._leaf = turn.leaf
        self._spawn("turn done", self._done(user, answer, options))

    async def _parts(self, emit: Emit, options: dict[str, Any], of_chat: Mapping[str, Any]) -> TurnParts:
        """What the turn works with, from settings of user, chat and turn."""
        await self.plugins.prepare()
        chat = await with_persona(of_chat, self.plugins, options)
        self.window.low_water = self.settings.low_water
        self.window.set_system(system_prompt_for(self.settings, chat, options, self.kernel.model))
        rounds = int(options.get("tool_rounds", self.settings.tool_rounds))
        return TurnParts(
            chat_id=self.chat_id,
            kernel=self.kernel,
            store=self.store,
            guard=self.guard,
            plugins=self.plugins,
            window=self.window,
            tools=tools_for(self.plugins.tools(), chat, options) if rounds else [],
            sampling=sampling_for(self.settings, chat, options, self.kernel.model),
            max_tokens=max_tokens_for(self.settings, chat, options),
            tool_rounds=rounds,
            sequence=self.sequence,
            options={**options, "answer_now": self._answer_now},
            emit=emit,
            ask=self._asker(emit),
            window_state=self.window_state,
            turnstile=self._turnstile,
            result_urls=self._result_urls,
            unsaved=self._unsaved,
            on_evicted=self.note_evicted,
            on_death=self._on_death,
        )

    def _asker(self, emit: Emit) -> Callable[[Approval], Awaitable[ApprovalAnswer]]:
        async def ask(approval: Approval) -> ApprovalAnswer:
            future: asyncio.Future[ApprovalAnswer] = asyncio.get_running_loop().create_future()
            self._approvals[approval.id] = future
            emit(ApprovalNeeded(approval))
            return await future

        return ask

    async def _done(self, user: Message, answer: Message, options: Mapping[str, Any]) -> None:
        """After the turn, off the critical path."""
        await self.plugins.turn_done(
            Turn(
                self.chat_id,
                user,
                answer,
                messages=LazyMessages(self.store, self.chat_id, answer.parent_id),
                window=tuple(self.window.pages),
                options=options,
            )
        )
        if self._after_turn is not None:
            await self._after_turn(self, user, answer)
