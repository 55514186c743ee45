"""The blocks of a transcript and what the block cursor asks of them.

A block joins the cursor by its methods, not by its class (see ``Block``): ``copy_text``,
``code_blocks`` and ``toggle_fold`` are enough.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from textual.content import Content
from textual.message import Message as TextualMessage

from llmos.tui.markdown.lines import BLANK, Line, plain_text, prefixed, wrap
from llmos.tui.widgets.lines_view import LinesView

if TYPE_CHECKING:
    from llmos.types import Message


Clean = Callable[[str], str]


@runtime_checkable
class Block(Protocol):
    """What the cursor can ask of any block."""

    message_id: str

    def copy_text(self) -> str:
        """The text that copying gives."""
        ...

    def code_blocks(self) -> list[str]:
        """Code in it, in order."""
        ...

    def toggle_fold(self) -> bool:
        """Fold or unfold; False when it cannot fold."""
        ...


class TranscriptBlock(LinesView):
    """A block with a source text that is shown as lines."""

    DEFAULT_CSS = """
    TranscriptBlock {
        margin-bottom: 1;
        padding: 0 1 0 1;
        border-left: blank;
    }
    TranscriptBlock.-cursor {
        border-left: wide $accent;
        background: $boost;
    }
    TranscriptBlock.-found {
        border-left: wide $success;
    }
    """

    #: What it is called in the help and in the block's menu.
    kind = "block"

    class Clicked(TextualMessage):
        """The user clicked a block: the cursor goes there."""

        def __init__(self, block: TranscriptBlock) -> None:
            super().__init__()
            self.block = block

    def __init__(self, text: str = "", *, message_id: str = "", classes: str | None = None) -> None:
        super().__init__(classes=classes)
        self.text = text
        self.message_id = message_id
        self.folded = False

    def copy_text(self) -> str:
        """The source text."""
        return self.text

    def code_blocks(self) -> list[str]:
        """Code in the text."""
        from llmos.tui.markdown.extract import code_blocks

        return code_blocks(self.text)

    def toggle_fold(self) -> bool:
        """Fold or unfold; False when it cannot fold."""
        return False

    def on_click(self) -> None:
        """Put the cursor here unless text is being selected."""
        if self.text_selection is None:
            self.post_message(self.Clicked(self))


class UserBlock(TranscriptBlock):
    """What the user wrote, as it was written."""

    DEFAULT_CSS = """
    UserBlock {
        border-left: wide $primary;
        background: $surface;
    }
    """

    kind = "your message"

    def __init__(self, message: Message, *, branch: str = "") -> None:
        super().__init__(message.content, message_id=message.id)
        self.message = message
        self.branch = branch

    def layout_lines(self, width: int) -> list[Line]:
        """The text, wrapped; above it the branch mark where there are siblings."""
        lines: list[Line] = []
        for row in self.text.expandtabs(4).split("\n"):
            lines.extend(wrap(Content(row), width))
        if self.branch:
            mark = Content.styled(f"{self.branch}  [ older  ] newer", "$text-muted")
            lines.extend(wrap(mark, width))
        return lines

    def set_branch(self, branch: str) -> None:
        """Show ``2/3`` where the message has siblings."""
        if branch != self.branch:
            self.branch = branch
            self.relayout()


class ThinkingBlock(TranscriptBlock):
    """The model's thoughts; folded to one line when they are done."""

    kind = "thoughts"

    def __init__(self, text: str = "", *, message_id: str = "", done: bool = True) -> None:
        super().__init__(text, message_id=message_id)
        self.done = done
        self.folded = done

    def layout_lines(self, width: int) -> list[Line]:
        """A head line, and the thoughts unless folded."""
        words = len(self.text.split())
        mark = "▸" if self.folded else "▾"
        state = f"Thought, {words} words" if self.done else "Thinking …"
        head = Content.styled(f"{mark} {state}", "italic $text-muted")
        lines = wrap(head, width)
        if not self.folded:
            body: list[Line] = []
            for row in self.text.strip().expandtabs(4).split("\n"):
                body.extend(wrap(Content.styled(row, "italic $text-muted"), width - 2))
            pad = Content("  ")
            lines.extend(prefixed(body, pad, pad, drop=True))
        return lines

    def append(self, text: str) -> None:
        """More thoughts."""
        self.text += text
        self.content_changed()

    def finish(self) -> None:
        """Thinking is over: fold."""
        self.done = True
        self.folded = True
        self.relayout()

    def toggle_fold(self) -> bool:
        """Fold or unfold."""
        self.folded = not self.folded
        self.relayout()
        return True

    def on_click(self) -> None:
        """A click folds or unfolds."""
        super().on_click()
        if self.text_selection is None:
            self.toggle_fold()


class NoticeBlock(TranscriptBlock):
    """One line from the program, no part of the chat."""

    kind = "notice"

    def __init__(self, text: str, level: str = "info") -> None:
        super().__init__(text, classes=f"-{level}")
        self.level = level

    def layout_lines(self, width: int) -> list[Line]:
        """The line, wrapped."""
        style = {"warning": "$text-warning", "error": "$text-error"}.get(self.level, "$text-muted")
        mark = {"warning": "! ", "error": "✗ "}.get(self.level, "· ")
        body = wrap(Content.styled(self.text, style), width - 2)
        return prefixed(body, Content.styled(mark, style), Content("  "))


class MarkdownBlock(TranscriptBlock):
    """A finished text of the program in Markdown: help, results of commands."""

    kind = "text"

    def layout_lines(self, width: int) -> list[Line]:
        """The text as Markdown."""
        from llmos.tui.markdown.layout import render

        return render(self.text, width) or [BLANK]

    def rendered_text(self) -> str:
        """The text as it is drawn, for tests."""
        return plain_text(self.lines)
