"""What the block cursor does with a block: copy, edit, answer again, fold, save, branches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from textual import work

from llmos.errors import UserError
from llmos.tui.screens.chat_base import ChatBase
from llmos.wording import counted

if TYPE_CHECKING:
    from llmos.tui.widgets.blocks import Block, TranscriptBlock
    from llmos.types import Message


class BlockActions(ChatBase):
    """Actions on the block under the cursor; they ask the block, not its class, where they can."""

    async def action_block(self, what: str) -> None:
        """One of the keys of the block cursor."""
        block = self.transcript.cursor
        if block is None:
            return
        if what == "copy":
            self._copy(block.copy_text(), f"Copied {block.kind}.")
        elif what == "code":
            self._copy_code(block)
        elif what == "fold":
            if not block.toggle_fold():
                self.face.tell(f"Nothing to fold in {block.kind}.")
        elif what == "edit":
            self._edit(block)
        elif what == "regenerate":
            await self._regenerate(block)
        elif what == "editor":
            self.open_editor(block)
        elif what == "save":
            self.save_block(block)
        elif what == "sources":
            self.open_sources(block)
        elif what in ("older", "newer"):
            await self._sibling(block, -1 if what == "older" else 1)

    def _copy(self, text: str, told: str) -> None:
        from llmos.tui.clipboard import copy

        if text.strip():
            copy(self.app, text)
            self.face.tell(told)
        else:
            self.face.tell("Nothing to copy there.")

    def _copy_code(self, block: Block) -> None:
        codes = block.code_blocks()
        if len(codes) > 1:
            self._choose_code(codes)
        elif codes:
            self._copy(codes[0], "Copied the code.")
        else:
            self.face.tell("No code in this block.")

    @work(group="choose-code")
    async def _choose_code(self, codes: list[str]) -> None:
        from llmos.tui.screens.picker import Pick, Picker

        picks = [
            Pick(str(index), code.strip().split("\n")[0][:60], counted(len(code.strip().splitlines()), "line"))
            for index, code in enumerate(codes)
        ]
        picks.append(Pick("all", "All of them"))
        chosen = await self.app.push_screen_wait(Picker("Which code?", picks))
        if chosen is not None:
            text = "\n".join(codes) if chosen == "all" else codes[int(chosen)]
            self._copy(text, "Copied the code.")

    @work(exclusive=True, group="odds")
    async def action_odds(self) -> None:
        """Odds of the words of the answer under the cursor, else of the last one."""
        session = getattr(self.face.backend, "session", None)
        if session is None or session.kernel.model is None:
            self.face.tell("Odds are computed by the loaded model, and none is loaded.")
            return
        if self.turn is not None:
            self.face.tell("The answer is still being written; Esc stops it.", "warning")
            return
        await self.reload_ids()
        answers = [message for message in self.messages if message.role == "assistant" and message.content]
        cursor = self.transcript.cursor
        chosen = next((one for one in answers if cursor is not None and one.id == cursor.message_id), None)
        answer = chosen or (answers[-1] if answers else None)
        if answer is None:
            self.face.tell("There is no answer yet.")
            return
        from llmos.stages.odds import AnswerOdds
        from llmos.tui.screens.odds import OddsScreen

        before = self.messages[: [one.id for one in self.messages].index(answer.id)]
        begins = await self.app.push_screen_wait(OddsScreen(AnswerOdds(session.kernel, before, answer.content)))
        if begins is not None:
            self.answer_again(answer.id, {"prefix": begins})

    def action_copy_answer(self) -> None:
        """Copy the last answer."""
        from llmos.tui.widgets.answer import AnswerBlock

        for block in reversed(self.transcript.blocks):
            if isinstance(block, AnswerBlock) and block.text:
                self._copy(block.text, "Copied the last answer.")
                return
        self.face.tell("There is no answer yet.")

    def action_copy_code(self) -> None:
        """Copy the last code block of the chat."""
        for block in reversed(self.transcript.blocks):
            if codes := block.code_blocks():
                self._copy(codes[-1], "Copied the last code block.")
                return
        self.face.tell("There is no code in this chat.")

    async def action_copy_chat(self) -> None:
        """Copy the whole chat as Markdown."""
        from llmos.tui.transfer import chat_text

        store = await self.store()
        text = await store.run(chat_text, store, self.chat_id) if self.chat_id else ""
        self._copy(self.face.clean(text), "Copied the chat.")

    def _edit(self, block: TranscriptBlock) -> None:
        from llmos.tui.widgets.blocks import UserBlock

        if not isinstance(block, UserBlock):
            blocks = self.transcript.blocks
            before = blocks[: blocks.index(block)]
            found = next((one for one in reversed(before) if isinstance(one, UserBlock)), None)
        else:
            found = block
        if found is None or not found.message_id:
            self.face.tell("Only a message of yours can be edited.")
        elif self.turn is not None:
            self.face.tell("The answer is still being written; Esc stops it.", "warning")
        else:
            self.start_editing(found.message_id, found.text)

    async def _regenerate(self, block: TranscriptBlock) -> None:
        if self.turn is not None:
            self.face.tell("The answer is still being written; Esc stops it.", "warning")
            return
        await self.reload_ids()
        question = self._question_of(block)
        if question is None:
            self.face.tell("There is no question here to answer again.")
            return
        self.answer_again(question.id)

    def _question_of(self, block: TranscriptBlock) -> Message | None:
        """The user's message that a block belongs to, itself or the one before it."""
        from llmos.tui.widgets.blocks import UserBlock

        blocks = self.transcript.blocks
        if block not in blocks:
            return None  # It left while something else was waited for.
        before = blocks[: blocks.index(block) + 1]
        found = next((one for one in reversed(before) if isinstance(one, UserBlock)), None)
        if found is None:
            return None
        return next((message for message in self.messages if message.id == found.message_id), None)

    def _answer_of(self, block: TranscriptBlock) -> Message | None:
        """The first message of the answer that a block belongs to."""
        ids = [message.id for message in self.messages]
        place = ids.index(block.message_id) if block.message_id in ids else len(ids) - 1
        if place < 0:
            return None
        while place >= 0 and self.messages[place].role != "user":
            place -= 1
        after = self.messages[place + 1 :]
        return next((message for message in after if message.role == "assistant"), None)

    async def cut_after(self, message_id: str) -> None:
        """Remove the blocks behind a message: another answer begins there."""
        blocks = self.transcript.blocks
        places = [place for place, block in enumerate(blocks) if block.message_id == message_id]
        if places:
            async with self.transcript.batch():
                for block in blocks[places[-1] + 1 :]:
                    await block.remove()

    async def cut_from(self, message_id: str) -> None:
        """Remove the blocks from a message on: a branch begins there."""
        ids = [message.id for message in self.messages]
        gone = set(ids[ids.index(message_id) :]) if message_id in ids else {message_id}
        blocks = self.transcript.blocks
        first = next((place for place, block in enumerate(blocks) if block.message_id in gone), None)
        if first is None:
            return
        async with self.transcript.batch():
            for block in blocks[first:]:
                await block.remove()

    async def _sibling(self, block: TranscriptBlock, step: int) -> None:
        """Switch to the branch beside this one."""
        if self.turn is not None:
            self.face.tell("The answer is still being written; Esc stops it.", "warning")
            return
        await self.reload_ids()
        message = next((one for one in self.messages if one.id == block.message_id), None)
        if message is None or message.role == "tool":
            message = self._answer_of(block)
        if message is None:
            return
        store = await self.store()
        siblings = (await store.run(store.sibling_ids, self.chat_id)).get(message.parent_id, [])
        if message.id not in siblings:
            self.face.tell("There is no other branch here; e edits, r answers again.")
            return
        place = siblings.index(message.id) + step
        if not 0 <= place < len(siblings):
            self.face.tell("This is the last branch on this side.")
            return
        leaf = await store.run(store.last_descendant, siblings[place])
        await store.run(store.set_leaf, self.chat_id, leaf)
        await self.open_chat(self.chat_id)
        for candidate in self.transcript.blocks:
            if candidate.message_id == siblings[place]:
                self.transcript.focus()
                self.transcript.place_cursor(candidate)
                break

    async def show_branches(self) -> None:
        """Mark the blocks that have siblings."""
        from llmos.tui.history import branch_mark
        from llmos.tui.widgets.answer import AnswerBlock
        from llmos.tui.widgets.blocks import UserBlock

        store = await self.store()
        siblings = await store.run(store.sibling_ids, self.chat_id)
        marks = {message.id: branch_mark(message, siblings) for message in self.messages}
        for block in self.transcript.blocks:
            if isinstance(block, UserBlock | AnswerBlock):
                block.set_branch(marks.get(block.message_id, ""))

    def open_editor(self, block: TranscriptBlock) -> None:
        """Read a block in $EDITOR; what is changed there is not taken back."""
        from llmos.tui.editor import edit_text

        try:
            edit_text(self.app, block.copy_text(), suffix=".md")
        except UserError as error:
            self.face.tell(str(error), "error")

    @work(group="save")
    async def save_block(self, block: TranscriptBlock) -> None:
        """Write a block to a file that the user names."""
        path = await self.answer_for("Save to the file", str(Path.cwd() / "answer.md"))
        if not path:
            return
        target = Path(path).expanduser()
        try:
            with target.open("x", encoding="utf-8") as file:
                file.write(block.copy_text())
        except OSError as error:
            self.face.tell(f"{target} cannot be written: {error.strerror}; choose another name.", "error")
            return
        self.face.tell(f"Saved to {target}.")

    @work(group="sources")
    async def open_sources(self, block: TranscriptBlock) -> None:
        """Show a page that the answer cites."""
        from llmos.tui.screens.picker import Pick, Picker
        from llmos.tui.widgets.answer import AnswerBlock

        citations = block.citations if isinstance(block, AnswerBlock) else {}
        if not citations:
            block.toggle_fold()
            return
        clean = self.face.clean
        picks = [
            Pick(str(number), f"[{number}] {clean(page.source)}", clean(page.heading))
            for number, page in sorted(citations.items())
        ]
        chosen = (
            picks[0].id if len(picks) == 1 else await self.app.push_screen_wait(Picker("Open a source", picks))
        )
        if chosen is None:
            return
        page = citations[int(chosen)]
        from llmos.tui.screens.reader import Reader

        where = ", ".join(f"{name} {value}" for name, value in page.location.items())
        title = clean(" > ".join(part for part in (page.source, page.heading) if part))
        await self.app.push_screen(Reader(f"[{chosen}] {title}", clean(page.text), clean(where)))

    async def add_text(self, text: str) -> None:
        """A text of the program in the transcript, as Markdown; not stored."""
        from llmos.tui.widgets.blocks import MarkdownBlock

        await self.transcript.add(MarkdownBlock(text))
        self.transcript.to_end()
