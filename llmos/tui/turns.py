"""From the events of a turn to blocks of the transcript.

A turn goes on while another chat is looked at: its events are kept, neighbouring text joined, and
drawn again when its chat is opened.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from llmos.tui.widgets.answer import AnswerBlock
from llmos.tui.widgets.blocks import NoticeBlock, ThinkingBlock, UserBlock
from llmos.types import (
    AnswerMarked,
    ApprovalNeeded,
    Citation,
    Event,
    Message,
    Notice,
    PageIn,
    PluginEvent,
    PrefillProgress,
    TextDelta,
    ThinkingDelta,
    ToolAsked,
    ToolDone,
    ToolProgress,
    ToolResult,
    TurnDone,
    TurnStarted,
    TurnStats,
    UserError,
)

if TYPE_CHECKING:
    from textual.widget import Widget

    from llmos.plugins.contributions import Element
    from llmos.tui.widgets.tally_block import TallyBlock
    from llmos.tui.widgets.tool_block import ApprovalBlock, ToolBlock
    from llmos.tui.widgets.transcript import Transcript

#: Repaints of growing text a second.
RATE = 12.0
#: In slow mode each repaint of text costs a screen of bytes, so it comes whole, at the end of a
#: block; meanwhile one short line counts its characters in steps of so many.
SLOW_STEP = 1_000


class TurnDrawer:
    """One running turn and the blocks that show it.

    Args:
        chat_id: the chat it belongs to.
        text: what the user sent; empty when an answer is made again.
        clean: strips what must not reach the terminal.
        slow: repaint seldom.
        on_event: told every event after it is drawn.
        draw_result: gives a plugin's elements for a tool's result, or none.
    """

    def __init__(
        self,
        chat_id: str,
        text: str,
        clean: Callable[[str], str],
        *,
        slow: bool = False,
        on_event: Callable[[TurnDrawer, Event], None] = lambda drawer, event: None,
        draw_result: Callable[[str, ToolResult], Awaitable[Sequence[Element]]] | None = None,
    ) -> None:
        self.chat_id = chat_id
        self.text = text
        self.user_message: Message | None = None
        self.stats: TurnStats | None = None
        self.error: UserError | None = None
        self.approval: ApprovalBlock | None = None
        self._reports: dict[tuple[str, str], TallyBlock] = {}
        self.done = False
        self._clean = clean
        self._slow = slow
        self._on_event = on_event
        self._draw_result = draw_result
        self._events: list[Event] = []
        self._transcript: Transcript | None = None
        self._user: UserBlock | None = None
        self._answer: AnswerBlock | None = None
        self._thinking: ThinkingBlock | None = None
        self._tools: dict[str, ToolBlock] = {}
        self._waiting_text: list[str] = []
        self._waiting_thought: list[str] = []
        self._timer_runs = False

    async def run(self, events: AsyncIterator[Event]) -> None:
        """Draw every event until the turn ends; errors become a line in the chat."""
        try:
            async for event in events:
                event = self._cleaned(event)
                self._keep(event)
                await self._draw(event)
                self._on_event(self, event)
        except UserError as error:
            self.error = error
            event = Notice(self._clean(str(error)), "error")
            self._keep(event)
            await self._draw(event)
            self._on_event(self, event)
        finally:
            self.done = True
            await self._close()

    async def attach(self, transcript: Transcript) -> None:
        """Show the turn in a transcript: what has come, then what comes."""
        self._transcript = transcript
        self._user = self._answer = self._thinking = None
        self.approval = None
        self._tools = {}
        if self.text:
            message = self.user_message or Message("user", self._clean(self.text), id="")
            self._user = UserBlock(message)
            await transcript.add(self._user)
        if not self._events:
            await self._new_answer()
        for event in list(self._events):
            await self._draw(event)
            self.flush()

    def detach(self) -> None:
        """The transcript shows another chat now; go on collecting."""
        self._transcript = None

    def flush(self) -> None:
        """Show text that has come since the last repaint."""
        if self._waiting_thought and self._thinking is not None:
            self._thinking.append("".join(self._waiting_thought))
            self._waiting_thought.clear()
        if self._waiting_text and self._answer is not None:
            self._answer.append("".join(self._waiting_text))
            self._waiting_text.clear()

    def _flush_later(self) -> None:
        if self._timer_runs or self._transcript is None:
            return
        if self._slow:
            written = sum(map(len, self._waiting_text)) // SLOW_STEP * SLOW_STEP
            if self._answer is not None and written:
                self._answer.set_waiting(f"Writing … {written} characters; Esc stops")
            return
        self._timer_runs = True

        def now() -> None:
            self._timer_runs = False
            self.flush()

        self._transcript.set_timer(1.0 / RATE, now)

    def _cleaned(self, event: Event) -> Event:
        if isinstance(event, TextDelta | ThinkingDelta | Notice):
            return dataclasses.replace(event, text=self._clean(event.text))
        if isinstance(event, AnswerMarked):
            mark = event.mark
            mark = dataclasses.replace(mark, text=self._clean(mark.text), note=self._clean(mark.note))
            return AnswerMarked(mark)
        if isinstance(event, ToolProgress):
            return dataclasses.replace(event, text=self._clean(event.text))
        if isinstance(event, ToolDone):
            result = dataclasses.replace(event.result, text=self._clean(event.result.text))
            return dataclasses.replace(event, result=result)
        return event

    def _keep(self, event: Event) -> None:
        """Remember an event for a later ``attach``; neighbouring pieces of text become one."""
        last = self._events[-1] if self._events else None
        if isinstance(event, TextDelta) and isinstance(last, TextDelta):
            self._events[-1] = TextDelta(last.text + event.text)
        elif isinstance(event, ThinkingDelta) and isinstance(last, ThinkingDelta):
            self._events[-1] = ThinkingDelta(last.text + event.text)
        elif isinstance(event, PrefillProgress) and isinstance(last, PrefillProgress):
            self._events[-1] = event
        else:
            self._events.append(event)

    async def _draw(self, event: Event) -> None:
        if isinstance(event, TurnStarted):
            self.user_message = event.user_message
            if self._user is not None:
                self._user.message_id = event.user_message.id
        elif isinstance(event, TurnDone):
            self.stats = event.stats
        if self._transcript is None:
            return
        if isinstance(event, TextDelta):
            await self._on_text(event.text)
            return
        if isinstance(event, ThinkingDelta):
            await self._on_thought(event.text)
            return
        self.flush()
        if isinstance(event, TurnStarted):
            if self._answer is None:
                await self._new_answer()
        elif isinstance(event, PrefillProgress):
            self._on_prefill(event)
        elif isinstance(event, ToolAsked):
            await self._on_tool_asked(event)
        elif isinstance(event, ToolProgress):
            if (block := self._tools.get(event.call.id)) is not None:
                block.add_progress(event.text)
        elif isinstance(event, ToolDone):
            await self._on_tool_done(event)
        elif isinstance(event, ApprovalNeeded):
            await self._on_approval(event)
        elif isinstance(event, Citation):
            if self._answer is not None:
                self._answer.cite(event.number, event.page)
        elif isinstance(event, AnswerMarked):
            if self._answer is not None:
                self._answer.mark(event.mark)
        elif isinstance(event, Notice):
            await self._add_before_answer(NoticeBlock(event.text, event.level))
        elif isinstance(event, PluginEvent):
            await self._on_plugin(event)
        elif isinstance(event, TurnDone):
            self._on_done(event)
        elif isinstance(event, PageIn) and event.page.reason and self._answer is not None:
            self._answer.set_waiting(f"… {event.page.reason}")

    async def _on_text(self, text: str) -> None:
        self._end_thinking()
        first = self._answer is None or not self._answer.text
        if self._answer is None:
            await self._new_answer()
        self._waiting_text.append(text)
        if first and not self._slow:
            self.flush()
        else:
            self._flush_later()

    async def _on_thought(self, text: str) -> None:
        if self._thinking is None:
            self._thinking = ThinkingBlock("", done=False)
            await self._add_before_answer(self._thinking)
        self._waiting_thought.append(text)
        self._flush_later()

    def _end_thinking(self) -> None:
        if self._thinking is not None:
            self.flush()
            self._thinking.finish()
            self._thinking = None

    def _on_prefill(self, event: PrefillProgress) -> None:
        if self._answer is not None and event.total:
            self._answer.set_waiting(f"Reading {event.done} of {event.total} tokens …")

    async def _on_tool_asked(self, event: ToolAsked) -> None:
        from llmos.tui.widgets.tool_block import ToolBlock

        self._end_thinking()
        await self._end_answer()
        block = ToolBlock(event.call)
        self._tools[event.call.id] = block
        await self._add(block)

    async def _on_tool_done(self, event: ToolDone) -> None:
        block = self._tools.get(event.call.id)
        if block is None:
            await self._on_tool_asked(ToolAsked(event.call))
            block = self._tools[event.call.id]
        block.finish(event.result, event.seconds)
        if self._draw_result is not None and event.result.ok and event.result.data:
            elements = await self._draw_result(event.call.name, event.result)
            if elements and self._transcript is not None:
                from llmos.tui.widgets.result_view import ResultView

                block.hide_result = True
                block.relayout()
                await self._transcript.mount(ResultView(elements, self._clean), after=block)
        if self.approval is not None and self.approval.answer is None:
            self.approval.settle("deny")
        self.approval = None

    async def _on_approval(self, event: ApprovalNeeded) -> None:
        from llmos.tui.widgets.tool_block import ApprovalBlock

        await self._end_answer()
        self.approval = ApprovalBlock(event.approval)
        await self._add(self.approval)

    async def _on_plugin(self, event: PluginEvent) -> None:
        """A plugin's report: one block for each kind, updated in place while the answer is made."""
        text = event.data.get("text")
        if not isinstance(text, str) or not text:
            return
        from llmos.tui.widgets.tally_block import TallyBlock, cleaned

        data = cleaned(event.data, self._clean)
        block = self._reports.get((event.plugin, event.kind))
        if block is not None:
            block.show(data)
            return
        block = self._reports[event.plugin, event.kind] = TallyBlock(data)
        await self._add_before_answer(block)

    def _on_done(self, event: TurnDone) -> None:
        self._end_thinking()
        if self._answer is None:
            return
        message = event.message
        if self._tools:
            # Earlier rounds have blocks of their own: this one shows only its own text.
            message = dataclasses.replace(message, content=self._answer.text)
        else:
            message = dataclasses.replace(message, content=self._clean(message.content))
        stats = dataclasses.asdict(event.stats) if event.stats is not None else dict(message.stats)
        self._answer.finish(message, stats)

    async def _new_answer(self) -> None:
        self._answer = AnswerBlock(message_id="")
        await self._add(self._answer)

    async def _end_answer(self) -> None:
        """A call or a question follows: what was said so far is a block of its own."""
        answer, self._answer = self._answer, None
        if answer is None:
            return
        if answer.text.strip():
            answer.finish(Message("assistant", answer.text, id=answer.message_id), {})
        else:
            await answer.remove()

    async def _close(self) -> None:
        self.flush()
        if self._thinking is not None:
            self._end_thinking()
        if self._answer is not None and not self._answer.done:
            if self._answer.text.strip():
                message = Message("assistant", self._answer.text, id=self._answer.message_id, status="stopped")
                self._answer.finish(message, {})
            else:
                await self._answer.remove()
        if self.approval is not None and self.approval.answer is None:
            self.approval.settle("deny")

    async def _add(self, block: Widget) -> None:
        if self._transcript is not None:
            await self._transcript.add(block)

    async def _add_before_answer(self, block: Widget) -> None:
        """Above an answer that has no text yet, else at the end."""
        if self._transcript is None:
            return
        if self._answer is not None and not self._answer.text and self._answer.is_attached:
            await self._transcript.add_before(self._answer, block)
        else:
            await self._transcript.add(block)
