"""Sending, answering again, stopping, approvals."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from llmos.errors import UserError
from llmos.tui.screens.chat_base import ChatBase
from llmos.wording import counted

if TYPE_CHECKING:
    import asyncio

    from llmos.tui.turns import TurnDrawer
    from llmos.tui.widgets.prompt import Prompt
    from llmos.tui.widgets.tool_block import ApprovalBlock
    from llmos.types import Approval, ApprovalAnswer, Event

#: Letters of the first message that name a chat until it has a better title.
TITLE_LETTERS = 60


class TurnActions(ChatBase):
    """Turns of the open chat."""

    def __init__(self) -> None:
        super().__init__()
        self._outside: dict[str, asyncio.Future[ApprovalAnswer]] = {}
        #: Views whose message is on its way to its turn.
        self._sending: set[int] = set()

    async def on_prompt_submitted(self, event: Prompt.Submitted) -> None:
        """Send, or run a slash command."""
        event.stop()
        text = event.text
        command = self.slash_call(text)
        if command is None and (self.turn is not None or self.view in self._sending):
            self.face.tell("The answer is still being written; Esc stops it.", "warning")
            return
        # Taken before anything else is done: a command may open another chat, with a draft of its own.
        if not self.prompt.take(text):
            return
        self.remember_sent()
        if command is None:
            self.send(text)
        else:
            await self.run_slash(text)

    def send(self, text: str, *, edit_of: str = "", options: Mapping[str, Any] | None = None) -> None:
        """Begin a turn with the user's text."""
        edit_of = edit_of or self.editing
        unsent = self.unsent
        self.stop_editing()
        # What was being written before an earlier message was edited.
        if not self.prompt.text:
            self.prompt.put_back(unsent)
        else:
            self.prompt.add_earlier(unsent)
        self._sending.add(self.view)
        self.run_worker(
            self._send(text, edit_of, options, self.chat_id, self.view),
            group=f"turn-{self.chat_id}",
            exit_on_error=True,
        )

    async def _send(
        self, text: str, edit_of: str, options: Mapping[str, Any] | None, chat_id: str, view: int
    ) -> None:
        try:
            backend = await self.face.ready()
            if not chat_id:
                chat_id = await self.stored_chat(view, " ".join(text.split())[:TITLE_LETTERS])
            if options is None:
                options = await self.attachments(text)
            if edit_of:
                await self.cut_from(edit_of)
        except UserError as error:
            self.give_back(text)
            self.face.tell(str(error), "error")
            return
        finally:
            self._sending.discard(view)
        events = backend.send(chat_id, text, edit_of=edit_of, options=options)
        drawer = await self._run_turn(chat_id, text, events)
        if drawer.error is not None and self.alive:
            await self._put_back(drawer, text, edit_of)

    async def _put_back(self, drawer: TurnDrawer, text: str, edit_of: str) -> None:
        """A message that was refused is no part of the chat: it goes back into the prompt.

        Of one that is too long the part that fits is kept at hand for ``action_fit``.
        """
        store = await self.store()
        sent = drawer.user_message
        if drawer.chat_id != self.chat_id or (sent and await store.run(store.message, sent.id) is not None):
            return
        if edit_of:
            # The branch that was left for the edit is the present one again.
            leaf = await store.run(store.last_descendant, edit_of)
            await store.run(store.set_leaf, drawer.chat_id, leaf)
        await self.open_chat(drawer.chat_id)
        if drawer.chat_id != self.chat_id:
            return
        told = str(drawer.error)
        self.fitting = getattr(drawer.error, "fitting", "")
        if self.fitting:
            told += f" {self.key_of('prompt.fit')} keeps the beginning that fits."
        await self.add_notice(self.face.clean(told), "error")
        self.transcript.to_end()
        kept = self.prompt.full_text
        if kept.strip() and kept.strip() != text.strip():
            self.keep_draft()
            self.face.tell("The message was not sent; Up brings it back.", "warning")
            return
        if edit_of:
            self.start_editing(edit_of, "")
        self.prompt.put_back(text)

    def action_fit(self) -> None:
        """Keep of a message that is too long the beginning that fits; Up brings the whole back."""
        text = self.prompt.full_text
        if not self.fitting or not text.startswith(self.fitting) or text == self.fitting:
            self.face.tell("The message has not been found too long.")
            return
        self.prompt.remember()
        cut = len(text) - len(self.fitting)
        self.prompt.put_back(self.fitting)
        self.fitting = ""
        self.face.tell(
            f"Cut by {counted(cut, 'character', commas=True)}; Enter sends, Up brings the whole back."
        )

    def answer_again(self, message_id: str, options: Mapping[str, Any] | None = None) -> None:
        """Another answer beside an earlier one, or to a message of the user."""
        self.run_worker(self._again(message_id, options), group=f"turn-{self.chat_id}")

    async def _again(self, message_id: str, options: Mapping[str, Any] | None) -> None:
        backend = await self.face.ready()
        if any(one.id == message_id and one.role == "user" for one in self.messages):
            await self.cut_after(message_id)
        else:
            await self.cut_from(message_id)
        await self._run_turn(self.chat_id, "", backend.regenerate(self.chat_id, message_id, options))

    async def _run_turn(self, chat_id: str, text: str, events: AsyncIterator[Event]) -> TurnDrawer:
        from llmos.tui.turns import TurnDrawer

        face = self.face
        drawer = TurnDrawer(
            chat_id,
            text,
            face.clean,
            slow=face.options.slow,
            on_event=self._on_turn_event,
            draw_result=face.backend.draw_result if face.backend is not None else None,
        )
        face.turns[chat_id] = drawer
        self.remove_welcome()
        if self.chat_id == chat_id:
            self.transcript.to_end()
            await drawer.attach(self.transcript)
            self.set_hint("Esc stop")
        try:
            await drawer.run(events)
        finally:
            if face.turns.get(chat_id) is drawer:
                del face.turns[chat_id]
        if self.alive:
            self.set_hint("")
            await self._after_turn(chat_id, drawer)
        return drawer

    async def _after_turn(self, chat_id: str, drawer: TurnDrawer) -> None:
        """Take over what was stored: ids, branches, the list's order."""
        await self.refresh_list()
        if self.chat_id == chat_id:
            await self.reload_ids()
            await self.show_branches()
        await self.face.refresh_status()
        # A better title may come from a job in the background.
        self.set_timer(3.0, self.refresh_list)

    def _on_turn_event(self, drawer: TurnDrawer, event: Event) -> None:
        from llmos.types import (
            ApprovalNeeded,
            Notice,
            TextDelta,
            ThinkingDelta,
            ToolAsked,
            ToolDone,
            TurnDone,
            TurnStarted,
        )

        if not self.alive:
            return
        here = drawer.chat_id == self.chat_id
        if isinstance(event, TextDelta | ThinkingDelta | ToolAsked | ToolDone):
            if here:
                self.mark_new_below()
            return
        if isinstance(event, ApprovalNeeded):
            self._ask(drawer, here)
        elif isinstance(event, Notice) and not here:
            self.face.tell(event.text, event.level)
        elif isinstance(event, TurnDone) and not here:
            self.face.tell("The answer in another chat is finished.")
        elif isinstance(event, TurnStarted):
            self.call_next(self.refresh_list)

    def _ask(self, drawer: TurnDrawer, here: bool) -> None:
        """Put the focus on a question, unless the user is typing: then only say so."""
        if not here:
            self.face.tell("A question waits in another chat.", "warning")
            return
        if drawer.approval is not None and not self.prompt.text:
            drawer.approval.focus()
        self.set_hint("A question waits: Ctrl+Up, then y or n")
        self.mark_new_below()

    async def on_approval_block_answered(self, event: ApprovalBlock.Answered) -> None:
        """The user decided."""
        event.stop()
        future = self._outside.pop(event.block.approval.id, None)
        if future is not None:
            future.set_result(event.answer)
        else:
            backend = await self.face.ready()
            await backend.answer_approval(event.block.approval.id, event.answer)
        self.set_hint("Esc stop" if self.turn is not None else "")
        self.prompt.focus()

    async def ask(self, approval: Approval) -> ApprovalAnswer:
        """A question outside of a turn."""
        import asyncio

        from llmos.tui.widgets.tool_block import ApprovalBlock

        block = ApprovalBlock(approval)
        future: asyncio.Future[ApprovalAnswer] = asyncio.get_running_loop().create_future()
        self._outside[approval.id] = future
        await self.transcript.add(block)
        if not self.prompt.text:
            block.focus()
        self.set_hint("A question waits: Ctrl+Up, then y or n")
        try:
            return await future
        finally:
            self._outside.pop(approval.id, None)
            if block.answer is None:
                block.settle("deny")

    def deny_outside(self) -> None:
        """The chat is left: questions outside of a turn are refused."""
        for future in self._outside.values():
            if not future.done():
                future.set_result("deny")

    async def stop_turn(self) -> bool:
        """Stop the open chat's answer, or have it now where it is thought about; True when there was one."""
        if self.turn is None or self.face.backend is None:
            return False
        now = await self.face.backend.stop(self.chat_id)
        self.face.tell(
            "Answering now with what there is; Esc once more stops." if now else "Stopped; what came is kept."
        )
        return True

    async def action_stop(self) -> None:
        """Esc: stop, else leave what is open, else back to the prompt."""
        if self.filled and self.completion.candidates:
            self.completion.hide()
            self.prompt.completing = False
        elif await self.stop_turn():
            pass
        elif self.editing:
            unsent = self.unsent
            self.stop_editing()
            self.prompt.put_back(unsent)
        elif self.has_class("-narrow") and self.has_class("-list"):
            self.remove_class("-list")
            self.prompt.focus()
        else:
            self.hide_find()
            self.prompt.focus()

    def start_editing(self, message_id: str, text: str) -> None:
        """The prompt holds an earlier message; sending it begins a branch."""
        if self.editing:
            self.prompt.remember()
        else:
            self.unsent = self.prompt.draft
        self.editing = message_id
        self.prompt.add_class("-editing")
        self.prompt.set_text(text)
        self.prompt.focus()
        self.set_hint("Editing: Enter sends as a new branch, Esc leaves")

    def stop_editing(self) -> None:
        """The prompt holds a new message again."""
        if self.editing:
            self.prompt.remember()
        self.editing = self.unsent = ""
        self.prompt.remove_class("-editing")
        self.set_hint("")
