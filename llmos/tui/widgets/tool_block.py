"""A tool call with its result, and the question before a call that has an effect."""

from __future__ import annotations

import json
from collections.abc import Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message as TextualMessage

from llmos.guard.reveal import reveal
from llmos.tui.actions import bindings
from llmos.tui.markdown.lines import Line, fold, prefixed, wrap
from llmos.tui.widgets.blocks import TranscriptBlock

if TYPE_CHECKING:
    from llmos.types import Approval, ApprovalAnswer, ToolCall, ToolResult


#: Rows of a result that are shown while the block is folded.
FOLDED_ROWS = 6


class ToolBlock(TranscriptBlock):
    """A call: name and arguments, then the result, folded when it is long."""

    kind = "tool call"

    def __init__(self, call: ToolCall, result: ToolResult | None = None, seconds: float = 0.0) -> None:
        super().__init__("")
        self.call = call
        self.result = result
        self.seconds = seconds
        self.progress = ""
        #: True where a plugin draws the result below.
        self.hide_result = False
        self.folded = True

    def layout_lines(self, width: int) -> list[Line]:
        """Head, arguments, result."""
        lines = [*self._head(width), *self._arguments(width)]
        text = self.result.text if self.result is not None else self.progress
        if text.strip() and not (self.hide_result and self.folded):
            lines.extend(self._body(text, width))
        return lines

    def _head(self, width: int) -> list[Line]:
        if self.result is None:
            mark, style, state = "◌", "$text-accent", "running"
        elif self.result.ok:
            mark, style, state = "✓", "$text-success", f"{self.seconds:.1f} s" if self.seconds else "done"
        else:
            mark, style, state = "✗", "$text-error", "failed"
        head = Content.assemble(
            (f"{mark} ", style), (reveal(self.call.name), "bold"), (f"  {state}", "$text-muted")
        )
        return wrap(head, width)

    def _arguments(self, width: int) -> list[Line]:
        pad = Content("  ")
        lines: list[Line] = []
        for name, value in argument_rows(self.call.arguments):
            label = Content.styled(f"{name}: " if name else "", "$text-muted")
            rows = value.expandtabs(4).split("\n")
            first = wrap(label + Content(rows[0]), width - 2)
            rest = [line for row in rows[1:] for line in fold(Content(row), width - 2)]
            lines.extend(prefixed([*first, *rest], pad, pad, drop=True))
        return lines

    def _body(self, text: str, width: int) -> list[Line]:
        bar = Content.styled("│ ", "$text-accent" if self.result is None or self.result.ok else "$text-error")
        body: list[Line] = []
        for row in text.rstrip().expandtabs(4).split("\n"):
            body.extend(wrap(Content(row), width - 2))
        hidden = len(body) - FOLDED_ROWS
        if self.folded and hidden > 1:
            kept = body[:FOLDED_ROWS] if self.result is not None else body[-FOLDED_ROWS:]
            lines = prefixed(kept, bar, bar, drop=True)
            more = Content.styled(f"▸ {hidden} more rows", "$text-muted")
            return [*lines, *wrap(more, width)]
        return prefixed(body, bar, bar, drop=True)

    def copy_text(self) -> str:
        """The result; without one the call as JSON."""
        if self.result is not None:
            return self.result.text
        return json.dumps({"name": self.call.name, "arguments": dict(self.call.arguments)}, ensure_ascii=False)

    def code_blocks(self) -> list[str]:
        """The code argument, where the tool has one."""
        code = self.call.arguments.get("code")
        return [code] if isinstance(code, str) else []

    def toggle_fold(self) -> bool:
        """Show the whole result or its beginning."""
        self.folded = not self.folded
        self.relayout()
        return True

    def add_progress(self, text: str) -> None:
        """Partial output of the running tool."""
        self.progress += text
        self.content_changed()

    def finish(self, result: ToolResult, seconds: float) -> None:
        """The call ended."""
        self.result, self.seconds = result, seconds
        self.relayout()


def argument_rows(arguments: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Arguments as (name, text); the name is left out where there is only one."""
    rows: list[tuple[str, str]] = []
    for name, value in arguments.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        # The model wrote them: what is invisible or steers a terminal is spelt out.
        rows.append(("" if len(arguments) == 1 else reveal(name), reveal(text)))
    return rows


class ApprovalBlock(TranscriptBlock, can_focus=True):
    """A question before an effect: the exact bytes, why it is asked, and keys to answer."""

    DEFAULT_CSS = """
    ApprovalBlock {
        border-left: wide $warning;
        background: $surface;
    }
    ApprovalBlock:focus {
        background: $boost;
    }
    """

    kind = "question"

    BINDINGS: ClassVar[list[BindingType]] = bindings("approval")

    #: Keys pressed sooner than this after it came were meant for something else.
    GRACE_SECONDS = 0.6

    class Answered(TextualMessage):
        """The user decided."""

        def __init__(self, block: ApprovalBlock, answer: ApprovalAnswer) -> None:
            super().__init__()
            self.block = block
            self.answer = answer

    def __init__(self, approval: Approval) -> None:
        super().__init__(approval.exact)
        self.approval = approval
        self.answer: ApprovalAnswer | None = None
        self._came = monotonic()

    def layout_lines(self, width: int) -> list[Line]:
        """Question, origin of untrusted text, exact bytes or diff, keys."""
        approval = self.approval
        head = Content.assemble(
            ("? ", "bold $text-warning"),
            (f"{approval.call.name} wants to {_EFFECTS.get(approval.effect.value, 'act')}", "bold"),
        )
        lines = wrap(head, width)
        lines.extend(wrap(Content.styled(approval.reason, "$text-muted"), width))
        if approval.tainted_by:
            origins = "Untrusted text in the window: " + ", ".join(approval.tainted_by)
            lines.extend(wrap(Content.styled(origins, "$text-warning"), width))
        bar = Content.styled("│ ", "$text-warning")
        body: list[Line] = []
        for row in (approval.diff or approval.exact).expandtabs(4).split("\n"):
            body.extend(fold(Content.styled(row, _diff_style(row) if approval.diff else ""), width - 2))
        lines.extend(prefixed(body, bar, bar, drop=True))
        lines.extend(wrap(self._keys(), width))
        return lines

    def _keys(self) -> Content:
        if self.answer is not None:
            style = "$text-error" if self.answer == "deny" else "$text-success"
            return Content.styled(_ANSWERS[self.answer], style)
        parts: list[tuple[str, str]] = []
        for key, scope, label in _CHOICES:
            if scope == "deny" or scope in self.approval.scopes:
                parts.extend(((f" {key} ", "bold reverse"), (f" {label}  ", "")))
        return Content.assemble(*parts)

    def action_answer(self, answer: ApprovalAnswer) -> None:
        """Answer, unless it is answered already or the key came too soon."""
        if self.answer is not None or monotonic() - self._came < self.GRACE_SECONDS:
            return
        if answer != "deny" and answer not in self.approval.scopes:
            return
        self.settle(answer)
        self.post_message(self.Answered(self, answer))

    def settle(self, answer: ApprovalAnswer) -> None:
        """Show the answer; the question is closed."""
        self.answer = answer
        self.relayout()

    async def _on_click(self, event: events.Click) -> None:
        """A click on a key answers."""
        row = event.get_content_offset(self)
        if self.answer is None and row is not None and row.y == len(self.lines) - 1:
            position = 0
            for key, scope, label in _CHOICES:
                if scope != "deny" and scope not in self.approval.scopes:
                    continue
                position += len(f" {key}  {label}  ")
                if row.x < position:
                    self.action_answer(scope)
                    break


_CHOICES: tuple[tuple[str, ApprovalAnswer, str], ...] = (
    ("y", "once", "yes, once"),
    ("c", "chat", "in this chat"),
    ("a", "always", "always"),
    ("n", "deny", "no"),
)
_ANSWERS = {
    "once": "Allowed once.",
    "chat": "Allowed in this chat.",
    "always": "Always allowed.",
    "deny": "Refused.",
}
_EFFECTS = {
    "pure": "compute",
    "read": "read your files",
    "network": "use the network",
    "memory": "write a memory",
    "write": "write a file",
    "execute": "run code",
    "install": "change the program",
}


def _diff_style(row: str) -> str:
    if row.startswith(("+++", "---")):
        return "bold"
    if row.startswith("+"):
        return "$text-success"
    if row.startswith("-"):
        return "$text-error"
    return "$text-accent" if row.startswith("@@") else ""
