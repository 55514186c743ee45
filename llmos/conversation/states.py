"""What the store keeps beside messages: states of pages, drafts, settings of single chats."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Any

from llmos.conversation.database import Database
from llmos.conversation.records import PageState, storable


class StatesMixin:
    """States, drafts and settings of the store."""

    database: Database

    def page_states(self, chat_id: str) -> dict[str, PageState]:
        """States of the pages of a chat that are not as they began."""
        rows = self.database.execute("SELECT * FROM page_states WHERE chat_id = ?", (chat_id,))
        return {
            row["page_id"]: PageState(
                row["page_id"], bool(row["swapped"]), bool(row["pinned"]), row["last_used"]
            )
            for row in rows
        }

    def set_page_states(self, chat_id: str, states: Iterable[PageState]) -> None:
        """Write states of pages, all or none of them."""
        with self.database.transaction():
            self.database.execute_many(
                "INSERT OR REPLACE INTO page_states VALUES (?, ?, ?, ?, ?)",
                [(chat_id, s.page_id, int(s.swapped), int(s.pinned), s.last_used) for s in states],
            )

    def save_draft(self, chat_id: str, text: str) -> None:
        """Keep what is typed but not sent; empty forgets it. ``chat_id`` may be any key."""
        if not text:
            self.database.execute("DELETE FROM drafts WHERE chat_id = ?", (chat_id,))
            return
        self.database.execute(
            "INSERT OR REPLACE INTO drafts VALUES (?, ?, ?)", (chat_id, storable(text), time.time())
        )

    def draft(self, chat_id: str) -> str:
        """What was typed but not sent."""
        rows = self.database.execute("SELECT text FROM drafts WHERE chat_id = ?", (chat_id,))
        return str(rows[0]["text"]) if rows else ""

    def chat_settings(self, chat_id: str) -> dict[str, Any]:
        """Settings of one chat: ``system_prompt``, ``temperature``, ``model``, ``persona`` and so on."""
        rows = self.database.execute("SELECT key, value FROM chat_settings WHERE chat_id = ?", (chat_id,))
        return {row["key"]: json.loads(row["value"]) for row in rows}

    def set_chat_setting(self, chat_id: str, key: str, value: Any) -> None:
        """Set one setting of a chat; None takes it back to the default."""
        if value is None:
            self.database.execute("DELETE FROM chat_settings WHERE chat_id = ? AND key = ?", (chat_id, key))
            return
        self.database.execute(
            "INSERT OR REPLACE INTO chat_settings VALUES (?, ?, ?)", (chat_id, key, json.dumps(value))
        )
