"""One chat: send, regenerate, edit, stop, answer approvals; everything comes back as typed events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

from llmos.conversation.errors import Busy
from llmos.conversation.intake import attachments as pages_of
from llmos.conversation.intake import clean_input
from llmos.conversation.ports import Plugins
from llmos.conversation.sending import ADDRESS, SendingMixin
from llmos.conversation.store import Store
from llmos.conversation.turnstile import Turnstile
from llmos.conversation.window import ATTACHED, Window
from llmos.guard.api import GuardApi
from llmos.kernel.protocol import Kernel
from llmos.settings import ChatSettings
from llmos.types import (
    AnswerNow,
    ApprovalAnswer,
    Event,
    Message,
    Page,
    UserError,
)

_log = logging.getLogger(__name__)

Body = Callable[[Callable[[Event], None]], Awaitable[None]]


class Conversation(SendingMixin):
    """A chat that can be talked to; made by ``Session.conversation``.

    Attributes:
        chat_id: known from the start; the chat is stored with its first message.
        window: pages that the model reads now.
    """

    def __init__(
        self,
        chat_id: str,
        *,
        kernel: Kernel,
        store: Store,
        guard: GuardApi,
        plugins: Plugins,
        settings: ChatSettings,
        ensure_model: Callable[[Conversation], Awaitable[Any]],
        spawn: Callable[[str, Awaitable[None]], None],
        face_can_ask: bool = True,
        preapproved: frozenset[str] = frozenset(),
        after_turn: Callable[[Conversation, Message, Message], Awaitable[None]] | None = None,
        on_death: Callable[[], None] = lambda: None,
        turnstile: Turnstile | None = None,
    ) -> None:
        """Args:
        chat_id: id of a chat, stored or not.
        kernel: generates.
        store: keeps.
        guard: decides and labels.
        plugins: context, eviction, tools, middleware.
        settings: the user's chat settings.
        ensure_model: loads the model if none is loaded, and the chat's KV state if one was saved.
        spawn: runs a coroutine in the background, under a name.
        face_can_ask: a user can be asked for approval.
        preapproved: calls approved beforehand, in the guard's canonical form.
        after_turn: called in the background with (conversation, user's message, answer).
        on_death: called when the kernel died under an answer and the turn tells of it.
        turnstile: shared by the chats of one kernel.
        """
        self.chat_id = chat_id
        self.kernel = kernel
        self.store = store
        self.guard = guard
        self.plugins = plugins
        self.settings = settings
        self.face_can_ask = face_can_ask
        self.preapproved = preapproved
        self.window = Window(chat_id, low_water=settings.low_water)
        self._ensure_model = ensure_model
        self._spawn = spawn
        self._after_turn = after_turn
        self._on_death = on_death
        self._turnstile = turnstile or Turnstile(lambda: kernel.model.context if kernel.model else 0)
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._answer_now = AnswerNow()
        self._approvals: dict[str, asyncio.Future[ApprovalAnswer]] = {}
        self._opened = False
        self._leaf: str | None = None
        self._user_texts: list[str] = []
        self._result_urls: list[str] = []
        self._unsaved: list[Message] = []
        self._swapped: list[Page] | None = None

    # -- opening ---------------------------------------------------------------------------

    @property
    def sequence(self) -> str:
        """Name of the KV sequence that holds this chat."""
        return f"chat-{self.chat_id[:16]}"

    @property
    def busy(self) -> bool:
        """True while an answer is being written."""
        return self._task is not None and not self._task.done()

    async def open(self) -> list[Message]:
        """Read the chat; answers that a crash or power cut left unfinished are marked.

        Returns:
            Its messages on the current branch, oldest first.
        """
        messages = await self.store.run(self._read)
        self._opened = True
        return messages

    def _read(self) -> list[Message]:
        """On the store's thread: read the branch and build the window from it."""
        if not self.busy:
            for left in self.store.unfinished(self.chat_id):
                self.store.update_message(replace(left, status="crashed"))
        messages = self.store.branch(self.chat_id)
        self._leaf = messages[-1].id if messages else None
        self.window.fill(messages, self.store.page_states(self.chat_id))
        self._swapped = None
        # An imported message was not typed here, whoever is said to have written it.
        typed = [m.content for m in messages if m.role == "user" and not m.labels.tainted]
        self._user_texts = [text for text in typed if ADDRESS.search(text)]
        self._result_urls = [str(url) for m in messages if m.role == "tool" for url in m.stats.get("urls", ())]
        return messages

    # -- talking ---------------------------------------------------------------------------

    async def send(
        self,
        text: str,
        attachments: Sequence[Path | Page] = (),
        options: Mapping[str, Any] | None = None,
    ) -> AsyncGenerator[Event, None]:
        """Send a message and receive the answer as events, ``TurnDone`` last.

        The message is on disk before anything is generated. Closing the iterator stops the answer.

        Args:
            text: what the user typed; control characters are removed.
            attachments: files or pages to put before it.
            options: values of this turn: ``temperature``, ``seed``, ``max_tokens``, ``system_prompt``
                and other names of ``SamplingSettings``; the rest goes to plugins as it is.

        Raises:
            Busy: an answer is being written.
            PromptTooLong: it does not fit; the text is kept as the chat's draft.
            UserError: anything else that the user can mend.
        """
        clean = clean_input(text)
        pages = [self.guard.label_page(page) for page in pages_of(attachments)]
        if not clean.strip() and not pages:
            raise UserError("There is nothing to send; type a message first.")

        async def body(emit: Callable[[Event], None]) -> None:
            await self._send(emit, clean, pages, dict(options or {}))

        async with aclosing(self._stream(body)) as events:
            async for event in events:
                yield event

    async def regenerate(
        self, message_id: str = "", options: Mapping[str, Any] | None = None
    ) -> AsyncGenerator[Event, None]:
        """Answer a user's message once more, as a new branch beside the old answer.

        Args:
            message_id: the answer (or the user's message); empty takes the last one.
            options: as in ``send``.
        """

        async def body(emit: Callable[[Event], None]) -> None:
            user = await self.store.run(self._question_of, message_id)
            await self.store.run(self.store.set_leaf, self.chat_id, user.id)
            await self.open()
            await self._answer_again(emit, user, dict(options or {}))

        async with aclosing(self._stream(body)) as events:
            async for event in events:
                yield event

    async def edit(
        self, message_id: str, text: str, options: Mapping[str, Any] | None = None
    ) -> AsyncGenerator[Event, None]:
        """Send a changed version of an earlier message, as a new branch beside it."""
        old = await self.store.run(self.store.message, message_id)
        if old is None or old.role != "user":
            raise UserError("Only your own messages can be edited and sent again.")
        clean = clean_input(text)
        if not clean.strip():
            raise UserError("There is nothing to send; type a message first.")
        parent = old.parent_id
        kept = [page for page in old.pages if page.reason == ATTACHED]

        async def body(emit: Callable[[Event], None]) -> None:
            await self.store.run(self.store.set_leaf, self.chat_id, parent)
            await self.open()
            await self._send(emit, clean, kept, dict(options or {}))

        async with aclosing(self._stream(body)) as events:
            async for event in events:
                yield event

    def stop(self, *, at_once: bool = False) -> bool:
        """Stop the answer that is being written; what had come is kept and marked.

        Where the answer is being thought about and can be given at once, the first stop asks for
        that; the second one (or ``at_once``) stops.

        Returns:
            True when the answer comes now instead of being stopped.
        """
        if self.busy and self._answer_now.supported and not (self._answer_now.requested or at_once):
            self._answer_now.requested = True
            return True
        if self._task is not None and not self._task.done() and not self._stopping:
            self._stopping = True
            self._task.cancel()
        return False

    async def close(self) -> None:
        """Stop for good and wait until what had come is kept."""
        task = self._task
        if task is not None and not task.done():
            self.stop(at_once=True)
            await asyncio.wait({task}, timeout=5.0)
        if self._unsaved:
            await self.store.run(self._store_unsaved)

    def answer_approval(self, approval_id: str, answer: ApprovalAnswer) -> None:
        """Answer an ``ApprovalNeeded``; an unknown or answered one is ignored."""
        future = self._approvals.pop(approval_id, None)
        if future is not None and not future.done():
            future.set_result(answer)

    # -- how a turn runs -------------------------------------------------------------------

    async def _stream(self, body: Body) -> AsyncGenerator[Event, None]:
        """Run a turn as a task and yield what it emits."""
        if self.busy:
            raise Busy
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self._stopping = False
        self._answer_now = AnswerNow()
        task = asyncio.create_task(self._run(body, queue))
        self._task = task
        try:
            while (event := await queue.get()) is not None:
                yield event
            await task
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
            self._task = None

    async def _run(self, body: Body, queue: asyncio.Queue[Event | None]) -> None:
        try:
            await body(queue.put_nowait)
        except asyncio.CancelledError:
            if not self._stopping:
                raise
        finally:
            self._approvals.clear()
            queue.put_nowait(None)
