"""The context window of one chat, as pages.

Append-only: what a turn adds goes to the end and stays where it is, so that the tokens before it
can be reused. When the window is full, pages are evicted in one batch down to a low-water mark
(one re-evaluation for many turns), never the pinned ones and never the turn that is going on.
Pages that were recalled or retrieved stay with the user's message that they were brought for.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from llmos.conversation.records import PageState
from llmos.formats import format_page, format_user_turn
from llmos.plugins.hookspecs import EVICT_ONLY_IF_NEEDED
from llmos.types import SYSTEM_LABELS, Message, Page, new_id

#: Why a page is in the window that the user put there with the message.
ATTACHED = "attached by you"
#: Tokens that the template puts around a message, roughly.
TURN_OVERHEAD = 5
#: Tokens between two pages, roughly.
PAGE_OVERHEAD = 2
#: Characters in a token where the exact number is not known yet.
CHARACTERS_PER_TOKEN = 3.5


@dataclass(slots=True)
class Slot:
    """One message with the pages that were brought in before it.

    Attributes:
        message: as stored.
        page: the message itself as a page; its id is the message's.
        attached: passages, memories and recalled messages, in the order in which they are read.
    """

    message: Message
    page: Page
    attached: list[Page] = field(default_factory=list)

    @property
    def pages(self) -> list[Page]:
        """Pages of the slot that are in the window, in reading order."""
        return [page for page in (*self.attached, self.page) if page.where == "window"]


class Window:
    """The pages of a chat that the model reads now, and what is known of those it does not.

    Args:
        chat_id: the chat.
        low_water: share of the budget that is still used after an eviction.
    """

    def __init__(self, chat_id: str, *, low_water: float = 0.5) -> None:
        self.chat_id = chat_id
        self.low_water = low_water
        self.slots: list[Slot] = []
        self.system: Page | None = None
        #: Tokens that tools and template add before the first message; measured after rendering.
        self.fixed_tokens = 0

    # -- filling ---------------------------------------------------------------------------

    def set_system(self, text: str) -> None:
        """The system prompt; empty for none."""
        if not text:
            self.system = None
        elif self.system is None or self.system.text != text:
            self.system = Page(
                text=text,
                kind="system",
                labels=SYSTEM_LABELS,
                id=f"system-{self.chat_id}",
                role="system",
                pinned=True,
                source="system prompt",
                reason="the system prompt always stays",
            )

    def fill(self, messages: Sequence[Message], states: Mapping[str, PageState]) -> None:
        """Begin anew with the messages of a branch, leaving out what was evicted before."""
        said = [one for one in messages if one.role != "assistant" or one.content or one.tool_calls]
        self.slots = [slot for message in said if (slot := self._slot(message, states)).pages]

    def append(self, message: Message, states: Mapping[str, PageState] | None = None) -> Slot:
        """Put a message and its pages at the end."""
        slot = self._slot(message, states or {})
        self.slots.append(slot)
        return slot

    def _slot(self, message: Message, states: Mapping[str, PageState]) -> Slot:
        page = Page(
            text=message.content,
            kind="tool_result" if message.role == "tool" else "message",
            labels=message.labels,
            id=message.id,
            role=message.role,
            source=message.name or message.role,
            message_id=message.id,
            last_used=message.created_at,
        )
        slot = Slot(message, page, [replace(one) for one in message.pages])
        for one in (page, *slot.attached):
            state = states.get(one.id)
            if state is not None:
                one.where = "swapped" if state.swapped else "window"
                one.pinned = state.pinned
                one.last_used = state.last_used or one.last_used
        return slot

    def number(self, pages: Iterable[Page]) -> list[Page]:
        """Give brought pages their citation marks, unique in the window, and ids of their own.

        A passage that the window holds already keeps its mark; a message or memory that is there
        already is left out. Ids are new: states are kept by id, and a recalled message is not the
        message itself.
        """
        pages = list(pages)
        if not pages:
            return []
        here = self.pages
        present = {_identity(page): page.number for page in here if page.number}
        held = {page.message_id for page in here if page.message_id}
        highest = max((page.number for page in here), default=0)
        fresh: list[Page] = []
        for page in pages:
            known = present.get(_identity(page), 0)
            if page.kind != "passage" and (known or (page.message_id and page.message_id in held)):
                continue
            if not known:
                highest += 1
            page = replace(page, id=new_id(), number=known or highest, where="window", last_used=time.time())
            present[_identity(page)] = page.number
            fresh.append(page)
        return fresh

    # -- reading ---------------------------------------------------------------------------

    @property
    def pages(self) -> list[Page]:
        """Every page in the window, in the order in which the model reads them."""
        found = [self.system] if self.system else []
        for slot in self.slots:
            found.extend(slot.pages)
        return found

    def messages(self) -> list[Message]:
        """The window as chat messages for the template; neighbours of one role are joined.

        Eviction can leave two messages of one role side by side, which many templates refuse.
        """
        found: list[Message] = []
        if self.system:
            found.append(Message("system", self.system.text, labels=self.system.labels))
        for slot in self.slots:
            if not slot.pages:
                continue
            text = self._text(slot)
            last = found[-1] if found else None
            joinable = last is not None and not last.tool_calls and not slot.message.tool_calls
            if last is not None and joinable and last.role == slot.message.role in ("user", "assistant"):
                found[-1] = replace(last, content=f"{last.content}\n\n{text}")
                continue
            found.append(replace(slot.message, content=text, thinking="", pages=(), stats={}))
        return found

    @staticmethod
    def _text(slot: Slot) -> str:
        """What the model reads of one slot."""
        shown = [shown_text(page) for page in slot.attached if page.where == "window"]
        own = slot.page.text if slot.page.where == "window" else ""
        if slot.message.role == "tool":
            own = own.strip()
            if shown and all(page.text.strip() in own for page in slot.attached):
                own = ""  # the tool's text repeats its passages, which the numbered pages show
            return "\n\n".join([own, *shown] if own else shown)
        return format_user_turn(own, shown).strip() if shown else own

    def page(self, page_id: str) -> Page | None:
        """A page of a slot that is at least partly in the window."""
        for slot in self.slots:
            for page in (slot.page, *slot.attached):
                if page.id == page_id:
                    return page
        return None

    def cited(self, number: int) -> Page | None:
        """The newest page with that citation mark."""
        for slot in reversed(self.slots):
            for page in slot.attached:
                if page.number == number and page.where == "window":
                    return page
        return None

    def tokens_used(self) -> int:
        """Tokens of the window: counted where known, else estimated."""
        total = self.fixed_tokens
        for page in self.pages:
            overhead = PAGE_OVERHEAD if page.number else TURN_OVERHEAD
            total += (page.tokens or estimate_tokens(shown_text(page))) + overhead
        return total

    # -- eviction --------------------------------------------------------------------------

    def candidates(self, protect: str) -> list[Page]:
        """Pages of earlier turns that may leave, oldest first.

        Args:
            protect: id of the user's message of the turn that is going on; it and what follows stay.
        """
        found: list[Page] = []
        for slot in self.slots:
            if slot.message.id == protect:
                break
            found.extend(page for page in slot.pages if not page.pinned)
        return found

    def last_resort(self, protect: str) -> list[Page]:
        """Pages of the present turn that it can do without: passages, worst first, then old tool calls."""
        place = next((i for i, slot in enumerate(self.slots) if slot.message.id == protect), None)
        if place is None:
            return []
        attached = self.slots[place].attached
        brought = [p for p in attached if p.where == "window" and not p.pinned and p.reason != ATTACHED]
        rounds = [slot for slot in self.slots[place + 1 :] if slot.message.tool_calls]
        old = self.slots[place + 1 : self.slots.index(rounds[-1])] if rounds else []
        return [*reversed(brought), *(page for slot in old for page in slot.pages if not page.pinned)]

    def evict(
        self, order: Sequence[str], need: int, allowed: Sequence[Page], protect: str, *, must: int | None = None
    ) -> list[Page]:
        """Evict pages until ``need`` tokens are free.

        Args:
            order: ids of pages, first to go first; what it leaves out follows as in ``allowed``.
                Behind ``EVICT_ONLY_IF_NEEDED`` pages go only until ``must`` tokens are free.
            need: tokens to free.
            allowed: pages that may leave.
            protect: id of the user's message of the present turn.
            must: tokens without which the message does not fit; None: all of ``need``.

        Returns:
            The pages that left, in the order of the window.
        """
        may = {page.id: page for page in allowed}
        known = set(order)
        freed = 0
        left: dict[str, Page] = {}
        for page_id in (*order, *(page_id for page_id in may if page_id not in known)):
            if page_id == EVICT_ONLY_IF_NEEDED and must is not None:
                need = min(need, must)
            if freed >= need:
                break
            if page_id not in may:
                continue
            for page in self._together(page_id):
                if page.id in may and page.id not in left:
                    page.where = "swapped"
                    left[page.id] = page
                    freed += (page.tokens or estimate_tokens(page.text)) + TURN_OVERHEAD
        for page in self._headless(protect):
            if page.id in may and page.id not in left:
                page.where = "swapped"
                left[page.id] = page
        gone = [page for slot in self.slots for page in (*slot.attached, slot.page) if page.id in left]
        self.slots = [slot for slot in self.slots if slot.pages]
        return gone

    def _together(self, page_id: str) -> list[Page]:
        """The pages that go when one goes: a message takes its passages, a tool call its results."""
        for place, slot in enumerate(self.slots):
            if slot.page.id == page_id:
                first = last = place
                if slot.message.role == "tool":
                    while first > 0 and self.slots[first].message.role == "tool":
                        first -= 1
                if self.slots[first].message.tool_calls or slot.message.role == "tool":
                    last = first
                    while last + 1 < len(self.slots) and self.slots[last + 1].message.role == "tool":
                        last += 1
                group = self.slots[first : last + 1]
                return [page for one in group for page in (*one.attached, one.page) if page.where == "window"]
            for page in slot.attached:
                if page.id == page_id:
                    return [page]
        return []

    def _headless(self, protect: str) -> list[Page]:
        """Answers at the head of the window whose questions are gone: no template begins with one."""
        found: list[Page] = []
        for slot in self.slots:
            if slot.message.id == protect or (slot.message.role == "user" and slot.pages):
                break
            found.extend(page for page in slot.pages if not page.pinned)
        return found

    def states(self, pages: Iterable[Page]) -> list[PageState]:
        """States of pages for the store."""
        return [PageState(p.id, p.where == "swapped", p.pinned, p.last_used) for p in pages]


def estimate_tokens(text: str) -> int:
    """Tokens of a text, by its bytes; on the safe side for most scripts."""
    return int(len(text.encode("utf-8", "replace")) / CHARACTERS_PER_TOKEN) + 1


def shown_text(page: Page) -> str:
    """A page as the model reads it: brought ones under their first line, messages as they are."""
    if page.kind == "system" or page.id == page.message_id:
        return page.text
    return format_page(page.number, page.source or page.kind, page.heading, page.text)


def _identity(page: Page) -> tuple[str, str, str]:
    """What makes two brought pages the same one."""
    return (page.source, repr(sorted(page.location.items())), page.text)
