"""One turn: bring pages in, fit the window, generate, run tools, go on, until the answer stands."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from llmos.conversation.answer_record import AnswerRecord
from llmos.conversation.budget import Budget, Fitted
from llmos.conversation.database import StoreError
from llmos.conversation.generation import Generator
from llmos.conversation.history import LazyMessages
from llmos.conversation.marking import Marking
from llmos.conversation.middleware import compose
from llmos.conversation.partial import PartialAnswer
from llmos.conversation.ports import Plugins
from llmos.conversation.store import Store
from llmos.conversation.tool_calls import ToolRunner
from llmos.conversation.turnstile import Turnstile
from llmos.conversation.window import Window
from llmos.guard.api import GuardApi, WindowState
from llmos.kernel.protocol import Kernel, KernelDied
from llmos.plugins.contributions import Turn
from llmos.types import (
    Approval,
    ApprovalAnswer,
    Event,
    Message,
    MessageStatus,
    Notice,
    Page,
    PageIn,
    PageOut,
    SamplingSettings,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    ToolResult,
    ToolSpec,
    TurnDone,
    TurnRequest,
    TurnStats,
    new_id,
)

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class TurnParts:
    """What a turn works with; made by the conversation."""

    chat_id: str
    kernel: Kernel
    store: Store
    guard: GuardApi
    plugins: Plugins
    window: Window
    tools: list[ToolSpec]
    sampling: SamplingSettings
    max_tokens: int | None
    tool_rounds: int
    sequence: str
    options: Mapping[str, Any]
    emit: Callable[[Event], None]
    ask: Callable[[Approval], Awaitable[ApprovalAnswer]]
    window_state: Callable[[Sequence[ToolSpec]], WindowState]
    turnstile: Turnstile
    result_urls: list[str] = field(default_factory=list)
    unsaved: list[Message] = field(default_factory=list)
    on_evicted: Callable[[list[Page]], None] = lambda pages: None
    on_death: Callable[[], None] = lambda: None


async def _uninterrupted(work: Awaitable[None]) -> bool:
    """Finish a write even when the turn is stopped meanwhile; True when it was."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        task.result()
        return True
    return False


class TurnRun:
    """Runs one turn for a user's message that is stored and in the window already.

    Args:
        parts: what it works with.
        user: the user's message.
        answer_id: id of the first message of the answer.
    """

    def __init__(self, parts: TurnParts, user: Message, answer_id: str) -> None:
        self._p = parts
        self._user = user
        self._answer_id = answer_id
        self._parent = user.id
        self._budget = Budget(parts.kernel, parts.plugins, parts.max_tokens)
        self._generator = Generator(parts.kernel, parts.guard.clean)
        self._runner = ToolRunner(parts.plugins, parts.guard, parts.tools, self._state, parts.emit, parts.ask)
        self._partial: PartialAnswer | None = None
        self._pending: list[ToolCall] = []
        self._record = AnswerRecord(parts.window, parts.emit)
        self._writes: list[asyncio.Future[None]] = []
        self._brought: list[Page] = []

    # -- pages -----------------------------------------------------------------------------

    async def bring_pages(self) -> None:
        """Ask the plugins for pages and put them before the user's message; ``run`` keeps and tells them."""
        p = self._p
        slot = p.window.slots[-1]
        counting = asyncio.ensure_future(self._budget.context_room(p.window))
        try:
            rough = self._budget.rough_room(p.window)  # the plugins begin while the kernel counts
            offered = await self._offered(await counting if rough is None else rough)
            brought = p.window.number(await self._budget.take_within(offered, await counting))
        finally:
            counting.cancel()
        if not brought:
            return
        slot.attached.extend(brought)
        self._user = replace(self._user, pages=(*self._user.pages, *brought))
        slot.message = self._user
        self._brought = brought

    async def _offered(self, room: int) -> list[Page]:
        """Labelled pages of the plugins for so many tokens."""
        if not room:
            return []
        p = self._p
        turn = Turn(
            p.chat_id,
            self._user,
            messages=LazyMessages(p.store, p.chat_id, self._user.parent_id),
            budget=room,
            window=tuple(p.window.pages),
            options={name: value for name, value in p.options.items() if name != "answer_now"},
        )
        return [p.guard.label_page(page) for page in await p.plugins.context(turn)]

    async def _evicted(self, pages: list[Page]) -> None:
        """Keep what left, and tell."""
        p = self._p
        p.on_evicted(pages)
        states = p.store.run(p.store.set_page_states, p.chat_id, p.window.states(pages))
        self._writes.append(asyncio.ensure_future(states))
        for page in pages:
            p.emit(PageOut(page))

    async def _fit(self) -> Fitted:
        """The window as it fits. Its writes go on beside the rendering and end before anything is generated."""
        p = self._p
        try:
            fitted = await self._budget.fit(p.window, p.tools, self._user, self._evicted)
        except BaseException:
            await asyncio.gather(*self._writes, return_exceptions=True)
            raise
        await asyncio.gather(*self._writes)
        self._writes.clear()
        return fitted

    @property
    def leaf(self) -> str:
        """Id of the last message that the turn has kept, the user's to begin with."""
        return self._parent

    def _state(self) -> WindowState:
        return self._p.window_state(self._p.tools)

    # -- the loop --------------------------------------------------------------------------

    async def run(self) -> Message:
        """Generate and run tools until the answer stands.

        Returns:
            The last message of the answer, stored; its ``status`` says how it ended.
        """
        p = self._p
        if self._brought:
            self._writes.append(asyncio.ensure_future(p.store.run(p.store.update_message, self._user)))
        for page in self._brought:
            p.emit(PageIn(page))
        for rounds in range(p.tool_rounds + 1):
            may_call = bool(p.tools) and rounds < p.tool_rounds and not self._runner.stuck
            message, stats = await self._generate(may_call)
            if not message.tool_calls or message.status != "complete":
                return self._end(message, stats)
            if not may_call:
                p.emit(Notice("The model asked for tools once more; the turn ends here.", "warning"))
                return self._end(message, stats)
            await self._run_calls(message.tool_calls)
        raise AssertionError("the last round always returns")

    def _end(self, message: Message, stats: TurnStats | None) -> Message:
        self._p.emit(TurnDone(message, stats))
        return message

    async def _generate(self, may_call: bool) -> tuple[Message, TurnStats | None]:
        """One generation: streamed, kept as it grows, stored."""
        p = self._p
        fitted = await self._fit()
        labels = p.guard.label_answer(self._state())
        answer = Message(
            "assistant",
            "",
            id=self._answer_id,
            chat_id=p.chat_id,
            parent_id=self._parent,
            labels=labels,
            status="partial",
        )
        partial = PartialAnswer(p.store, answer, lambda text: p.emit(Notice(text, "warning")))
        self._partial = partial
        partial.start()
        result: TurnDone | None = None
        status: MessageStatus = "complete"
        try:
            result = await self._in_turn(fitted, may_call, partial)
        except KernelDied as error:
            p.on_death()
            p.emit(Notice(f"{error} What had come of the answer is kept.", "error"))
            status = "crashed"
        except asyncio.CancelledError:
            raise
        except BaseException:
            await partial.finish(partial.message("error"))
            self._partial = None
            raise
        message = self._record.stored(answer, result, status) if result else partial.message(status)
        stopped = await _uninterrupted(partial.finish(message))
        self._note_unsaved(partial)
        self._partial = None
        if partial.kept:  # even where the window shows nothing of it, as of thoughts alone
            self._parent = message.id
        # From here on a stop must answer the calls that are stored: no awaiting in between.
        self._pending = list(message.tool_calls)
        stats = result.stats if result else None
        if message.content or message.tool_calls:
            slot = p.window.append(message)
            if stopped:
                raise asyncio.CancelledError
            slot.page.tokens = await self._budget.count(message.content)
        elif stopped:
            raise asyncio.CancelledError
        self._answer_id = new_id()
        return message, stats

    async def _in_turn(self, fitted: Fitted, may_call: bool, partial: PartialAnswer) -> TurnDone | None:
        """Generate as soon as the kernel's cache has room beside the answers of other chats."""
        turnstile = self._p.turnstile
        tokens = len(fitted.rendered.tokens) + self._budget.reserve
        if turnstile.would_wait(tokens):
            self._p.emit(Notice("Another chat is being answered; this one waits until there is room."))
        async with turnstile.enter(tokens):
            return await self._stream(self._request(fitted, may_call), partial)

    def _request(self, fitted: Fitted, may_call: bool) -> TurnRequest:
        p = self._p
        most = p.max_tokens or (self._budget.reserve if p.turnstile.shared else None)
        options = {**p.options, "call_tool": self._runner.silently}
        if not may_call:
            options["no_tool_calls"] = True
        if self._parent != self._user.id:
            options.pop("prefix", None)  # it begins the first generation, not the one after a tool
        self._generator.prepare(fitted.messages, fitted.rendered)
        return TurnRequest(
            messages=fitted.messages,
            tools=p.tools,
            sampling=p.sampling,
            max_tokens=min(most, fitted.reserve) if most else None,
            sequence=p.sequence,
            grammar=str(options.get("grammar", "")),
            options=options,
        )

    async def _stream(self, request: TurnRequest, partial: PartialAnswer) -> TurnDone | None:
        """Run generator and middleware; deltas are shown and kept, the last ``TurnDone`` is the answer."""
        p = self._p
        generate = compose(p.plugins.middleware(), self._generator, p.plugins.fault)
        result: TurnDone | None = None
        tail = ""
        marking = Marking(p.plugins, self._marked_turn(), p.emit)
        stream = generate(request)
        try:
            async for event in stream:
                if isinstance(event, TurnDone):
                    result = event
                    continue
                if isinstance(event, TextDelta):
                    await marking.before(event.text)
                p.emit(event)
                if isinstance(event, TextDelta):
                    partial.add(text=event.text)
                    tail = self._record.cite(tail + event.text)
                elif isinstance(event, ThinkingDelta):
                    partial.add(thinking=event.text)
        finally:
            await stream.aclose()  # type: ignore[attr-defined]
        if result is not None:
            self._record.cite(result.message.content)
            self._record.marks = await marking.finish(result.message.content)
        return result

    def _marked_turn(self) -> Callable[[str], Turn] | None:
        """The turn with a text as its answer, for plugins that mark it; None without passages."""
        p = self._p
        window = tuple(page for page in p.window.pages if page.where == "window")
        if not any(page.kind == "passage" for page in window):
            return None

        def turn(text: str) -> Turn:
            answer = Message("assistant", text, id=self._answer_id, chat_id=p.chat_id, status="partial")
            return Turn(p.chat_id, self._user, answer, window=window)

        return turn

    # -- tools -----------------------------------------------------------------------------

    async def _run_calls(self, calls: Sequence[ToolCall]) -> None:
        """Run the calls of one generation in order; each result becomes a page."""
        self._pending = list(calls)
        for call in calls:
            await self._keep_result(call, await self._runner.run(call))

    async def _keep_result(self, call: ToolCall, result: ToolResult) -> None:
        p = self._p
        message = self._result_message(call, result)
        pages = p.window.number(await self._budget.take_within(result.pages, self._budget.prompt_tokens // 3))
        message = replace(message, content=await self._budget.clip_result(message.content), pages=tuple(pages))
        tokens = await self._budget.count(message.content)
        # From here on without awaiting: a stop must find the call with its result or without.
        try:
            p.store.add_message(message)
        except StoreError as error:
            p.unsaved.append(message)
            p.emit(Notice(f"{error} The result is kept in memory for now.", "warning"))
        self._pending.remove(call)
        slot = p.window.append(message)
        slot.page.tokens = tokens
        for page in (slot.page, *slot.attached):
            p.emit(PageIn(page))
        self._parent = message.id
        p.result_urls.extend(result.urls)

    def _result_message(self, call: ToolCall, result: ToolResult) -> Message:
        return Message(
            "tool",
            result.text,
            chat_id=self._p.chat_id,
            parent_id=self._parent,
            tool_call_id=call.id,
            name=call.name,
            labels=result.labels,
            stats={"ok": result.ok, "urls": list(result.urls), "data": result.data},
        )

    def _note_unsaved(self, partial: PartialAnswer) -> None:
        """Remember an answer that the store could not take; the next message takes it along."""
        if partial.unsaved is not None:
            self._p.unsaved.append(partial.unsaved)

    # -- being stopped ---------------------------------------------------------------------

    def stopped(self) -> Message | None:
        """Keep what there is after a cancellation; returns the unfinished answer, if any.

        Quick and without awaiting, for it runs while the task is being cancelled.
        """
        p = self._p
        if self._partial is not None:
            message = self._partial.message("stopped")
            self._partial.finish_now(message)
            self._note_unsaved(self._partial)
            if self._partial.kept:
                self._parent = message.id
            self._partial = None
            if message.content:
                p.window.append(message)
            return message
        for call in self._pending:  # a call without a result would break the next prompt
            message = self._result_message(call, ToolResult("Stopped by the user.", ok=False))
            try:
                p.store.add_message(message)
            except StoreError:
                p.unsaved.append(message)
            p.window.append(message)
            self._parent = message.id
        self._pending = []
        return None
