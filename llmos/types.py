"""Plain data that every layer shares: labels, pages, messages, tool calls, events, requests.

Dataclasses only; whatever comes from outside is checked by pydantic before it becomes one of these.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from llmos.answer_now import AnswerNow as AnswerNow
from llmos.answer_now import TokenCount as TokenCount
from llmos.errors import UserError as UserError
from llmos.labels import SYSTEM_LABELS as SYSTEM_LABELS
from llmos.labels import USER_LABELS as USER_LABELS
from llmos.labels import Confidentiality as Confidentiality
from llmos.labels import Integrity as Integrity
from llmos.labels import Labels as Labels
from llmos.labels import join_labels as join_labels
from llmos.marks import Mark as Mark

Role = Literal["system", "user", "assistant", "tool"]
StopReason = Literal["stop", "length", "stopped", "crashed", "error", "tool_call"]


def new_id() -> str:
    """A random identifier of 32 hexadecimal digits for a message, page, call or chat."""
    return uuid.uuid4().hex


class EffectClass(StrEnum):
    """What running a tool can change, from nothing to the machine."""

    PURE = "pure"  # computes from its arguments alone
    READ = "read"  # reads the user's files or memories
    NETWORK = "network"  # sends something off the machine
    MEMORY = "memory"  # writes memories that later chats read
    WRITE = "write"  # writes files
    EXECUTE = "execute"  # runs code
    INSTALL = "install"  # changes the program itself


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A function that the model may call.

    Attributes:
        name: identifier, ``[a-z][a-z0-9_]*``.
        description: one sentence for the model; untrusted when a plugin server supplied it.
        parameters: JSON schema of the arguments object.
        effect: what running it can change.
        plugin: name of the plugin that brings it; empty for the core's own.
        time_limit: seconds after which the call is cancelled.
        result_limit: characters of result that enter the window; the rest is kept aside.
        contained: for ``execute``: the code runs where it has no network and can write nothing but
            a scratch folder of its own, enforced by the operating system.
        description_trusted: False when somebody else's server wrote the description and the user
            has not approved it; the window then counts as untrusted, for the model reads it.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    effect: EffectClass = EffectClass.PURE
    plugin: str = ""
    time_limit: float = 30.0
    result_limit: int = 8_000
    contained: bool = False
    description_trusted: bool = True


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model asked for: name and decoded arguments."""

    name: str
    arguments: Mapping[str, Any]
    id: str = field(default_factory=new_id)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a call gave back.

    Attributes:
        text: what the model reads.
        ok: False for an error, a refusal or a timeout; ``text`` then says why.
        labels: labels of the result.
        data: structured result for renderers (tables, images, result lists), JSON-able.
        urls: addresses in a result list; these may be opened later.
        pages: passages of the result, for citation.
    """

    text: str
    ok: bool = True
    labels: Labels = SYSTEM_LABELS
    data: Mapping[str, Any] | None = None
    urls: tuple[str, ...] = ()
    pages: tuple[Page, ...] = ()


PageKind = Literal["system", "message", "tool_result", "passage", "memory", "summary"]


@dataclass(slots=True)
class Page:
    """One piece of text in, or swapped out of, the context window.

    Attributes:
        text: what the model reads (already cleaned).
        kind: what it is.
        labels: origin, integrity, confidentiality.
        tokens: length in the loaded model's tokens; 0 until counted.
        pinned: never evicted.
        heading: headings above a passage, joined by `` > ``.
        source: short name of the origin, as shown in the page's first line.
        location: place in the source (``{"path":…, "line":…, "page":…}``) for citations.
        number: citation mark in this window, 0 when none.
        where: ``window`` or ``swapped``.
        last_used: seconds since the epoch.
        message_id: the stored message it came from, if any.
        reason: why it is in the window, in words for the user.
    """

    text: str
    kind: PageKind = "message"
    labels: Labels = USER_LABELS
    id: str = field(default_factory=new_id)
    role: Role = "user"
    tokens: int = 0
    pinned: bool = False
    heading: str = ""
    source: str = ""
    location: Mapping[str, Any] = field(default_factory=dict)
    number: int = 0
    where: Literal["window", "swapped"] = "window"
    last_used: float = field(default_factory=time.time)
    message_id: str = ""
    reason: str = ""


MessageStatus = Literal["complete", "stopped", "crashed", "partial", "error"]


@dataclass(slots=True)
class Message:
    """One stored message of a chat.

    Attributes:
        content: visible text.
        thinking: the model's thoughts, never fed back in later turns.
        tool_calls: calls that an assistant message made.
        tool_call_id: for role ``tool``: the call that it answers.
        name: for role ``tool``: the tool's name.
        pages: pages that were brought in just before this (user) message.
        parent_id: the message before it; siblings are branches.
        status: ``partial`` while it is being written and after a power cut.
        stats: tokens, seconds and so on of a finished answer.
    """

    role: Role
    content: str
    id: str = field(default_factory=new_id)
    chat_id: str = ""
    parent_id: str | None = None
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    name: str = ""
    labels: Labels = USER_LABELS
    pages: tuple[Page, ...] = ()
    status: MessageStatus = "complete"
    created_at: float = field(default_factory=time.time)
    stats: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """How the next token is drawn. ``seed`` None draws a fresh one for each answer."""

    temperature: float = 0.7
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Approval:
    """A question to the user before an effect.

    Attributes:
        call: the exact call.
        effect: what it can change.
        exact: the exact text that will be used, with hidden characters made visible.
        reason: why it is asked, in words.
        tainted_by: origins of the untrusted text in the window.
        diff: for a file write, a unified diff; else empty.
        scopes: what may be answered.
    """

    call: ToolCall
    effect: EffectClass
    exact: str
    reason: str
    tainted_by: tuple[str, ...] = ()
    diff: str = ""
    scopes: tuple[Literal["once", "chat", "always"], ...] = ("once",)
    id: str = field(default_factory=new_id)


ApprovalAnswer = Literal["once", "chat", "always", "deny"]


# Events of a turn, in the order in which they can come: see ``conversation.send``.


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """The user's message is stored; the answer's id is known."""

    user_message: Message
    answer_id: str


@dataclass(frozen=True, slots=True)
class PageIn:
    """A page entered the window."""

    page: Page


@dataclass(frozen=True, slots=True)
class PageOut:
    """A page left the window."""

    page: Page


@dataclass(frozen=True, slots=True)
class PrefillProgress:
    """Prompt tokens evaluated so far, of those not cached."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More visible text of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ThinkingDelta:
    """More of the model's thoughts."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolAsked:
    """The model asked for a call; it has not run."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class ApprovalNeeded:
    """The turn waits until ``Conversation.answer_approval`` is called."""

    approval: Approval


@dataclass(frozen=True, slots=True)
class ToolProgress:
    """Partial output of a running tool."""

    call: ToolCall
    text: str


@dataclass(frozen=True, slots=True)
class ToolDone:
    """A call ended, was refused or failed."""

    call: ToolCall
    result: ToolResult
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Citation:
    """The answer cited a page by its number."""

    number: int
    page: Page


@dataclass(frozen=True, slots=True)
class AnswerMarked:
    """A plugin remarked on a part of the answer that has come."""

    mark: Mark


@dataclass(frozen=True, slots=True)
class Notice:
    """One line for the user that is no part of the answer."""

    text: str
    level: Literal["info", "warning", "error"] = "info"


@dataclass(frozen=True, slots=True)
class PluginEvent:
    """What a plugin's middleware reports for a face to draw, for example a tally of votes."""

    plugin: str
    kind: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TurnStats:
    """Figures of an answer; ``cached_tokens`` were in the KV cache already."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    seconds: float
    first_token_seconds: float
    tokens_per_second: float
    stop_reason: StopReason
    model: str
    context_used: int = 0
    context_size: int = 0


@dataclass(frozen=True, slots=True)
class TurnDone:
    """The answer is stored; last event of a turn."""

    message: Message
    stats: TurnStats | None


Event = (
    TurnStarted
    | PageIn
    | PageOut
    | PrefillProgress
    | TextDelta
    | ThinkingDelta
    | ToolAsked
    | ApprovalNeeded
    | ToolProgress
    | ToolDone
    | Citation
    | AnswerMarked
    | Notice
    | PluginEvent
    | TurnDone
)


#: How middleware runs a tool for itself, for example to check an answer: ``await call(name, arguments)``.
#: A turn's options hold one under ``call_tool``. It runs only what is on offer in this turn and what
#: the guard allows without asking; None stands for everything else.
ToolAccess = Callable[[str, Mapping[str, Any]], Awaitable[ToolResult | None]]


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """What middleware (``llmos_generators``) receives and may change before ``next``.

    Attributes:
        messages: the assembled window as chat messages.
        tools: tools on offer.
        sampling: how tokens are drawn.
        max_tokens: most tokens of the answer; None: what fits.
        sequence: name of the KV sequence that holds the conversation.
        grammar: GBNF that constrains the answer, or empty.
        options: free values by plugins, for example ``{"think": "30 s"}``.
    """

    messages: Sequence[Message]
    tools: Sequence[ToolSpec] = ()
    sampling: SamplingSettings = SamplingSettings()
    max_tokens: int | None = None
    sequence: str = "main"
    grammar: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
