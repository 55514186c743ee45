"""Records of the store beside messages, and how rows become dataclasses and back."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from llmos.types import (
    Confidentiality,
    Integrity,
    Labels,
    Message,
    MessageStatus,
    Page,
    PageKind,
    Role,
    ToolCall,
)


@dataclass(slots=True)
class Chat:
    """One stored conversation.

    Attributes:
        title: shown name; empty until one is made.
        title_by: who named it: ``user`` (never overwritten), ``auto`` or empty.
        leaf_id: last message of the current branch; None while there is none.
        pinned: listed before the others.
        deleted_at: seconds since the epoch when it went to the trash, else None.
        tags: sorted.
    """

    id: str
    title: str = ""
    title_by: str = ""
    created_at: float = 0.0
    updated_at: float = 0.0
    pinned: bool = False
    leaf_id: str | None = None
    deleted_at: float | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A message that full-text search found.

    Attributes:
        snippet: the matching part, matches between U+0002 and U+0003.
        score: BM25, lower is better.
    """

    chat: Chat
    message: Message
    snippet: str
    score: float


@dataclass(frozen=True, slots=True)
class PageState:
    """Where a page of a chat is, apart from its text."""

    page_id: str
    swapped: bool = False
    pinned: bool = False
    last_used: float = 0.0


def labels_to_json(labels: Labels) -> str:
    """Labels as compact JSON."""
    return json.dumps([sorted(labels.origins), labels.integrity.value, labels.confidentiality.value])


def labels_from_json(text: str) -> Labels:
    """The reverse; what cannot be read counts as untrusted and private."""
    try:
        origins, integrity, confidentiality = json.loads(text)
        return Labels(
            frozenset(str(origin) for origin in origins),
            Integrity(integrity),
            Confidentiality(confidentiality),
        )
    except (ValueError, TypeError):
        return Labels(frozenset({"unknown"}), Integrity.UNTRUSTED, Confidentiality.PRIVATE)


def calls_to_json(calls: tuple[ToolCall, ...]) -> str:
    """Tool calls as JSON, empty for none."""
    if not calls:
        return ""
    return json.dumps([{"id": c.id, "name": c.name, "arguments": dict(c.arguments)} for c in calls])


def calls_from_json(text: str) -> tuple[ToolCall, ...]:
    """The reverse."""
    if not text:
        return ()
    return tuple(ToolCall(one["name"], one["arguments"], one["id"]) for one in json.loads(text))


def chat_from_row(row: sqlite3.Row, tags: tuple[str, ...] = ()) -> Chat:
    """A chat from its row."""
    return Chat(
        id=row["id"],
        title=row["title"],
        title_by=row["title_by"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        pinned=bool(row["pinned"]),
        leaf_id=row["leaf_id"],
        deleted_at=row["deleted_at"],
        tags=tags,
    )


def message_values(message: Message) -> dict[str, Any]:
    """Column values of a message."""
    return {
        "id": message.id,
        "chat_id": message.chat_id,
        "parent_id": message.parent_id,
        "role": message.role,
        "content": storable(message.content),
        "thinking": storable(message.thinking),
        "tool_calls": calls_to_json(message.tool_calls),
        "tool_call_id": message.tool_call_id,
        "name": message.name,
        "labels": labels_to_json(message.labels),
        "status": message.status,
        "created_at": message.created_at,
        "stats": json.dumps(dict(message.stats), default=str) if message.stats else "",
    }


def message_from_row(row: sqlite3.Row, pages: tuple[Page, ...] = ()) -> Message:
    """A message from its row; its pages lie in a table of their own."""
    return Message(
        role=cast(Role, row["role"]),
        content=row["content"],
        id=row["id"],
        chat_id=row["chat_id"],
        parent_id=row["parent_id"],
        thinking=row["thinking"],
        tool_calls=calls_from_json(row["tool_calls"]),
        tool_call_id=row["tool_call_id"],
        name=row["name"],
        labels=labels_from_json(row["labels"]),
        pages=pages,
        status=cast(MessageStatus, row["status"]),
        created_at=row["created_at"],
        stats=json.loads(row["stats"]) if row["stats"] else {},
    )


def page_values(page: Page, message: Message, position: int) -> dict[str, Any]:
    """Column values of a page that is attached to a message."""
    return {
        "id": page.id,
        "message_id": message.id,
        "chat_id": message.chat_id,
        "position": position,
        "kind": page.kind,
        "role": page.role,
        "text": storable(page.text),
        "labels": labels_to_json(page.labels),
        "heading": storable(page.heading),
        "source": storable(page.source),
        "location": json.dumps(dict(page.location), default=str),
        "number": page.number,
        "origin_id": page.message_id,
        "reason": storable(page.reason),
    }


def page_from_row(row: sqlite3.Row) -> Page:
    """A page from its row."""
    location: Mapping[str, Any] = json.loads(row["location"])
    return Page(
        text=row["text"],
        kind=cast(PageKind, row["kind"]),
        labels=labels_from_json(row["labels"]),
        id=row["id"],
        role=cast(Role, row["role"]),
        heading=row["heading"],
        source=row["source"],
        location=location,
        number=row["number"],
        message_id=row["origin_id"],
        reason=row["reason"],
    )


def storable(text: str) -> str:
    """The text without what SQLite or UTF-8 cannot hold: lone surrogates and NUL."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "")
