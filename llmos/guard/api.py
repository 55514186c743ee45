"""The guard as the conversation core sees it.

The guarantee must hold when the model is wholly on the attacker's side, so nothing here looks
at what the model says about itself: only at the exact call, the labels of the window and what
the user has approved. Every path that cannot be decided is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from llmos.types import Approval, ApprovalAnswer, Labels, Page, ToolCall, ToolResult, ToolSpec


@dataclass(frozen=True, slots=True)
class Decision:
    """What the policy says of one call.

    Attributes:
        verdict: run it, ask the user about the exact bytes, or refuse.
        reason: in words that the user can see.
        rule: short id of the rule in the policy file.
        approval: the question, when ``verdict`` is ``ask``.
    """

    verdict: Literal["allow", "ask", "deny"]
    reason: str
    rule: str
    approval: Approval | None = None


@dataclass(slots=True)
class WindowState:
    """What the guard needs to know of a chat's window.

    Attributes:
        chat_id: the chat.
        pages: every page now in the window (system, history, recalled, retrieved, results).
        user_texts: texts that the user typed in this chat (for addresses given verbatim).
        result_urls: addresses from result lists in this chat.
        face_can_ask: False where no user can be asked; what needs approval is then refused.
        preapproved: exact calls (canonical JSON) approved beforehand, for example by a flag.
        tools: tools on offer; the model reads their descriptions too.
    """

    chat_id: str
    pages: Sequence[Page] = ()
    user_texts: Sequence[str] = ()
    result_urls: Sequence[str] = ()
    face_can_ask: bool = True
    preapproved: frozenset[str] = field(default_factory=frozenset)
    tools: Sequence[ToolSpec] = ()


class GuardApi(Protocol):
    """Decide, remember approvals, clean text."""

    def decide(self, call: ToolCall, spec: ToolSpec, window: WindowState) -> Decision:
        """Policy's word on a call."""
        ...

    def remember(self, approval: Approval, answer: ApprovalAnswer, chat_id: str) -> None:
        """Keep an approval for the chat or for ever, for this exact call only."""
        ...

    def label_result(self, spec: ToolSpec, result: ToolResult, window: WindowState) -> ToolResult:
        """The result with labels joined with what the call was made from, its text cleaned and bounded."""
        ...

    def label_page(self, page: Page) -> Page:
        """A page that a plugin brings into the window: cleaned, never trusted by mere default."""
        ...

    def label_answer(self, window: WindowState) -> Labels:
        """Labels of what the model writes now: joined from the whole window, origin ``model``."""
        ...

    def clean(self, text: str) -> str:
        """Strip terminal escapes, bidi controls, zero-width and tag characters; for display and storage."""
        ...

    def reveal(self, text: str) -> str:
        """Make hidden, look-alike and bidi content visible, for approvals."""
        ...
