"""The transcript: blocks one below the other, the last ones mounted, older ones on scroll."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.message import Message as TextualMessage
from textual.widget import Widget

from llmos.tui.actions import bindings
from llmos.tui.widgets.blocks import TranscriptBlock

#: Blocks that are mounted at once when a chat opens or older ones are asked for.
PAGE = 50


class Transcript(VerticalScroll, can_focus=True):
    """Scrolls; follows the end until the user scrolls up; moves the block cursor."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("block")

    class OlderWanted(TextualMessage):
        """The user scrolled to the top: mount older messages."""

    class CursorMoved(TextualMessage):
        """The block cursor is on another block."""

        def __init__(self, block: TranscriptBlock | None) -> None:
            super().__init__()
            self.block = block

    class Following(TextualMessage):
        """Whether the end of the chat is in sight has changed."""

        def __init__(self, at_end: bool) -> None:
            super().__init__()
            self.at_end = at_end

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._cursor: TranscriptBlock | None = None
        self._at_end = True
        self._asked_for_older = False
        self.has_older = False

    def on_mount(self) -> None:
        """Follow the end."""
        self.anchor()

    @property
    def blocks(self) -> list[TranscriptBlock]:
        """Every mounted block, in order."""
        return [child for child in self.children if isinstance(child, TranscriptBlock)]

    @property
    def cursor(self) -> TranscriptBlock | None:
        """The block under the cursor; none when it has left the transcript meanwhile."""
        if self._cursor is not None and self._cursor not in self.children:
            self._cursor = None
        return self._cursor

    async def show(self, blocks: Sequence[Widget]) -> None:
        """Replace everything; the end comes into sight."""
        self._cursor = None
        self._asked_for_older = False
        async with self.batch():
            await self.remove_children()
            await self.mount_all(blocks)
        self.anchor()
        self._note_place()

    async def add(self, *blocks: Widget) -> None:
        """Put blocks at the end; the view follows unless the user has scrolled up."""
        await self.mount_all(blocks)

    async def add_before(self, anchor: Widget, *blocks: Widget) -> None:
        """Put blocks just before one that is there."""
        await self.mount_all(blocks, before=anchor)

    async def add_older(self, blocks: Iterable[Widget]) -> None:
        """Put older blocks on top without moving what is in sight."""
        height = self.virtual_size.height
        first = self.children[0] if self.children else None
        place = self.scroll_y
        if first is None:
            await self.mount_all(list(blocks))
        else:
            await self.mount_all(list(blocks), before=first)

        def stay() -> None:
            self.scroll_to(y=place + self.virtual_size.height - height, animate=False, force=True)
            self._asked_for_older = False

        self.call_after_refresh(stay)

    def watch_scroll_y(self, old: float, new: float) -> None:
        """Ask for older messages near the top; tell when the end goes out of sight."""
        super().watch_scroll_y(old, new)
        if self.has_older and new < 2 and self.max_scroll_y > 0 and not self._asked_for_older:
            self._asked_for_older = True
            self.post_message(self.OlderWanted())
        self._note_place()

    def _note_place(self) -> None:
        at_end = self.scroll_offset.y >= self.max_scroll_y - 1
        if at_end != self._at_end:
            self._at_end = at_end
            self.post_message(self.Following(at_end))

    @property
    def at_end(self) -> bool:
        """True while the end is in sight."""
        return self._at_end

    def to_end(self) -> None:
        """Bring the end into sight and follow it again."""
        self.anchor()
        self.scroll_end(animate=False, force=True)

    def place_cursor(self, block: TranscriptBlock | None, *, scroll: bool = True) -> None:
        """Move the block cursor."""
        if self._cursor is not None:
            self._cursor.remove_class("-cursor")
        self._cursor = block
        if block is not None:
            block.add_class("-cursor")
            if scroll:
                block.scroll_visible(animate=False, top=block.size.height > self.size.height)
        self.post_message(self.CursorMoved(block))

    def action_cursor(self, step: int) -> None:
        """Move the cursor by a block; within a block taller than the screen, scroll first."""
        blocks = self.blocks
        if not blocks:
            return
        if self._cursor is None or self._cursor not in blocks:
            self.place_cursor(blocks[-1])
            return
        region, view = self._cursor.virtual_region, self.scroll_offset.y
        if step > 0 and region.bottom > view + self.size.height and region.height > self.size.height:
            self.scroll_relative(y=self.size.height // 2, animate=False)
            return
        if step < 0 and region.y < view and region.height > self.size.height:
            self.scroll_relative(y=-(self.size.height // 2), animate=False)
            return
        index = blocks.index(self._cursor) + step
        if index < 0 and self.has_older:
            self.post_message(self.OlderWanted())
        self.place_cursor(blocks[min(max(index, 0), len(blocks) - 1)])

    def action_cursor_to(self, place: str) -> None:
        """First or last mounted block."""
        blocks = self.blocks
        if blocks:
            self.place_cursor(blocks[0 if place == "first" else -1])

    def on_focus(self) -> None:
        """The cursor shows while the transcript has the focus."""
        if self._cursor is None and self.blocks:
            self.place_cursor(self.blocks[-1])

    def on_blur(self) -> None:
        """The cursor goes when the focus goes."""
        if self._cursor is not None:
            self.place_cursor(None)

    def on_transcript_block_clicked(self, event: TranscriptBlock.Clicked) -> None:
        """A clicked block gets the cursor."""
        event.stop()
        self.focus(scroll_visible=False)
        self.place_cursor(event.block, scroll=False)

    def on_resize(self, event: events.Resize) -> None:
        """Keep the end in sight when the window changes."""
        if self._at_end:
            self.anchor()
