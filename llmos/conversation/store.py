"""The chats on disk: a tree of messages for each chat, with drafts, tags and settings.

Every method is quick and synchronous, and may be called from any thread; on an event loop use
``await store.run(store.method, …)``, which runs on the store's own thread. When a method that
writes returns, the change is on disk.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from llmos.conversation.database import Database, StoreError
from llmos.conversation.records import (
    Chat,
    chat_from_row,
    message_from_row,
    message_values,
    page_from_row,
    page_values,
    storable,
)
from llmos.conversation.search import SearchMixin
from llmos.conversation.states import StatesMixin
from llmos.types import Message, Page, new_id

P = ParamSpec("P")
T = TypeVar("T")

#: Ids of the messages from a leaf up to the root, with their distance from the leaf.
_BRANCH = """
WITH RECURSIVE branch(id, parent_id, depth) AS (
  SELECT id, parent_id, 0 FROM messages WHERE id = ?
  UNION ALL
  SELECT m.id, m.parent_id, b.depth + 1 FROM messages m JOIN branch b ON m.id = b.parent_id
)
"""
#: The same, no further up than a number of messages: the end of a long chat costs no more than a short one.
_BRANCH_END = _BRANCH.replace("b.parent_id\n)", "b.parent_id WHERE b.depth + 1 < ?\n)")


class Store(SearchMixin, StatesMixin):
    """Chats, messages, pages, drafts, tags and settings per chat.

    Args:
        path: the database file; None keeps everything in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self.database = Database(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="llmos-store")

    @property
    def notices(self) -> list[str]:
        """Sentences to tell the user: a store set aside, kept in memory only."""
        return self.database.notices

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a method of the store off the event loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: function(*args, **kwargs))

    def close(self) -> None:
        """Wait for what is being written and close."""
        self._thread.shutdown(wait=True)
        self.database.close()

    # -- chats -----------------------------------------------------------------------------

    def create_chat(self, title: str = "", *, chat_id: str = "", created_at: float = 0.0) -> Chat:
        """A new, empty chat."""
        now = created_at or time.time()
        chat = Chat(chat_id or new_id(), storable(title), "user" if title else "", now, now)
        self.database.execute(
            "INSERT INTO chats (id, title, title_by, created_at, updated_at) VALUES (?,?,?,?,?)",
            (chat.id, chat.title, chat.title_by, now, now),
        )
        return chat

    def chat(self, chat_id: str) -> Chat | None:
        """A chat by its id, also from the trash."""
        rows = self.database.execute("SELECT * FROM chats WHERE id = ?", (chat_id,))
        return chat_from_row(rows[0], self._tags(chat_id)) if rows else None

    def find_chat(self, name: str) -> Chat:
        """A chat by id, beginning of an id (4 or more digits) or title.

        Raises:
            StoreError: none or several fit.
        """
        rows = self.database.execute(
            "SELECT * FROM chats WHERE deleted_at IS NULL AND (id = ?1 OR title = ?1 COLLATE NOCASE"
            " OR (length(?1) >= 4 AND substr(id, 1, length(?1)) = ?1)) LIMIT 3",
            (name,),
        )
        if not rows:
            raise StoreError(f"No chat is called {name!r}; `llmos chats list` shows those that are there.")
        if len(rows) > 1:
            raise StoreError(f"Several chats fit {name!r}; give more of the id.")
        return chat_from_row(rows[0], self._tags(rows[0]["id"]))

    def list_chats(
        self,
        *,
        limit: int = 100,
        offset: int = 0,
        title: str = "",
        tag: str = "",
        trash: bool = False,
    ) -> list[Chat]:
        """Chats, pinned ones first, then by last use.

        Args:
            limit: most chats.
            offset: how many to leave out first.
            title: part of the title, case does not matter.
            tag: only chats with this tag.
            trash: those in the trash instead.
        """
        where = ["deleted_at IS NOT NULL" if trash else "deleted_at IS NULL"]
        values: list[Any] = []
        if title:
            where.append("title LIKE ? ESCAPE '\\'")
            values.append("%" + title.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%")
        if tag:
            where.append("id IN (SELECT chat_id FROM tags WHERE tag = ?)")
            values.append(tag)
        rows = self.database.execute(
            f"SELECT *, (SELECT group_concat(tag, char(31)) FROM tags WHERE chat_id = chats.id) AS tag_list"
            f" FROM chats WHERE {' AND '.join(where)}"
            " ORDER BY pinned DESC, updated_at DESC LIMIT ? OFFSET ?",
            (*values, limit, offset),
        )
        return [
            chat_from_row(row, tuple(sorted(row["tag_list"].split("\x1f"))) if row["tag_list"] else ())
            for row in rows
        ]

    def latest_chat(self) -> Chat | None:
        """The chat used last, empty ones left out."""
        rows = self.database.execute(
            "SELECT * FROM chats WHERE deleted_at IS NULL AND leaf_id IS NOT NULL"
            " ORDER BY updated_at DESC LIMIT 1"
        )
        return chat_from_row(rows[0], self._tags(rows[0]["id"])) if rows else None

    def count_chats(self) -> int:
        """Chats outside the trash."""
        return int(self.database.execute("SELECT count(*) AS n FROM chats WHERE deleted_at IS NULL")[0]["n"])

    def rename_chat(self, chat_id: str, title: str, *, by: str = "user") -> None:
        """Name a chat; ``by="auto"`` never overwrites what the user chose."""
        guard = " AND title_by != 'user'" if by != "user" else ""
        self.database.execute(
            f"UPDATE chats SET title = ?, title_by = ? WHERE id = ?{guard}", (storable(title), by, chat_id)
        )

    def pin_chat(self, chat_id: str, pinned: bool = True) -> None:
        """List a chat before the others, or no longer."""
        self.database.execute("UPDATE chats SET pinned = ? WHERE id = ?", (int(pinned), chat_id))

    def delete_chat(self, chat_id: str) -> None:
        """Move a chat to the trash."""
        self.database.execute("UPDATE chats SET deleted_at = ? WHERE id = ?", (time.time(), chat_id))

    def restore_chat(self, chat_id: str) -> None:
        """Take a chat back out of the trash."""
        self.database.execute("UPDATE chats SET deleted_at = NULL WHERE id = ?", (chat_id,))

    def erase_chat(self, chat_id: str) -> None:
        """Delete a chat for good."""
        with self.database.transaction():
            self.database.execute("DELETE FROM messages WHERE chat_id = ?", (chat_id,))
            self.database.execute("DELETE FROM drafts WHERE chat_id = ?", (chat_id,))
            self.database.execute("DELETE FROM chats WHERE id = ?", (chat_id,))

    def empty_trash(self, older_than: float = 30 * 86_400) -> int:
        """Erase what has been in the trash longer than ``older_than`` seconds; returns how many."""
        rows = self.database.execute("SELECT id FROM chats WHERE deleted_at < ?", (time.time() - older_than,))
        for row in rows:
            self.erase_chat(row["id"])
        return len(rows)

    def tag_chat(self, chat_id: str, tags: Iterable[str]) -> None:
        """Set the tags of a chat, replacing those it has."""
        with self.database.transaction():
            self.database.execute("DELETE FROM tags WHERE chat_id = ?", (chat_id,))
            clean = sorted({storable(tag.strip()) for tag in tags if tag.strip()})
            self.database.execute_many("INSERT INTO tags VALUES (?, ?)", [(chat_id, tag) for tag in clean])

    def all_tags(self) -> list[str]:
        """Every tag in use, sorted."""
        return [row["tag"] for row in self.database.execute("SELECT DISTINCT tag FROM tags ORDER BY tag")]

    def _tags(self, chat_id: str) -> tuple[str, ...]:
        rows = self.database.execute("SELECT tag FROM tags WHERE chat_id = ? ORDER BY tag", (chat_id,))
        return tuple(row["tag"] for row in rows)

    # -- messages --------------------------------------------------------------------------

    def add_message(self, message: Message, *, leaf: bool = True) -> None:
        """Store a message and its pages; with ``leaf`` the chat's branch now ends in it."""
        values = message_values(message)
        with self.database.transaction():
            columns = ", ".join(values)
            marks = ", ".join("?" for _ in values)
            self.database.execute(f"INSERT INTO messages ({columns}) VALUES ({marks})", tuple(values.values()))
            self._write_pages(message)
            if leaf:
                self.set_leaf(message.chat_id, message.id)

    def update_message(self, message: Message) -> None:
        """Write what can change of a message: text, thoughts, calls, labels, status, figures, pages."""
        values = message_values(message)
        names = ("content", "thinking", "tool_calls", "labels", "status", "stats")
        with self.database.transaction():
            self.database.execute(
                f"UPDATE messages SET {', '.join(f'{name} = ?' for name in names)} WHERE id = ?",
                (*(values[name] for name in names), message.id),
            )
            if message.pages:
                self.database.execute("DELETE FROM pages WHERE message_id = ?", (message.id,))
                self._write_pages(message)

    def save_message(self, message: Message) -> None:
        """Store a message, or write it anew when it is there; the branch then ends in it."""
        with self.database.transaction():
            if self.database.execute("SELECT 1 FROM messages WHERE id = ?", (message.id,)):
                self.update_message(message)
                self.set_leaf(message.chat_id, message.id)
            else:
                self.add_message(message)

    def _write_pages(self, message: Message) -> None:
        if not message.pages:
            return
        rows = [page_values(page, message, place) for place, page in enumerate(message.pages)]
        marks = ", ".join("?" for _ in rows[0])
        self.database.execute_many(
            f"INSERT OR REPLACE INTO pages ({', '.join(rows[0])}) VALUES ({marks})",
            [tuple(row.values()) for row in rows],
        )

    def delete_message(self, message_id: str) -> None:
        """Delete one message that has no children; the branch then ends in its parent."""
        with self.database.transaction():
            self.database.execute(
                "UPDATE chats SET leaf_id = (SELECT parent_id FROM messages WHERE id = ?1) WHERE leaf_id = ?1",
                (message_id,),
            )
            self.database.execute("DELETE FROM messages WHERE id = ?", (message_id,))

    def message(self, message_id: str) -> Message | None:
        """One message with its pages."""
        rows = self.database.execute("SELECT * FROM messages WHERE id = ?", (message_id,))
        return self._messages(rows)[0] if rows else None

    def set_leaf(self, chat_id: str, message_id: str | None) -> None:
        """Make the chat's current branch end in a message."""
        self.database.execute(
            "UPDATE chats SET leaf_id = ?, updated_at = ? WHERE id = ?", (message_id, time.time(), chat_id)
        )

    def branch(
        self, chat_id: str, leaf: str | None = None, *, limit: int = -1, swapped: bool = True
    ) -> list[Message]:
        """Messages from the root to a leaf, oldest first.

        Args:
            chat_id: the chat.
            leaf: where the branch ends; None takes the chat's current one.
            limit: only the last so many; -1 all.
            swapped: also messages that were evicted from the window.
        """
        if leaf is None:
            rows = self.database.execute("SELECT leaf_id FROM chats WHERE id = ?", (chat_id,))
            leaf = rows[0]["leaf_id"] if rows else None
        if leaf is None:
            return []
        hidden = (
            ""
            if swapped
            else " WHERE NOT EXISTS (SELECT 1 FROM page_states p WHERE p.chat_id = m.chat_id"
            " AND p.page_id = m.id AND p.swapped)"
        )
        bounded = swapped and limit >= 0
        branch = _BRANCH_END if bounded else _BRANCH
        rows = self.database.execute(
            f"{branch} SELECT m.* FROM branch b JOIN messages m ON m.id = b.id{hidden}"
            " ORDER BY b.depth LIMIT ?",
            (leaf, limit, limit) if bounded else (leaf, limit),
        )
        return self._messages(rows[::-1])

    def all_messages(self, chat_id: str) -> list[Message]:
        """Every message of a chat on all branches, in the order in which they were written."""
        return self._messages(
            self.database.execute("SELECT * FROM messages WHERE chat_id = ? ORDER BY seq", (chat_id,))
        )

    def count_branch(self, leaf: str | None) -> int:
        """Length of a branch."""
        if leaf is None:
            return 0
        return int(self.database.execute(f"{_BRANCH} SELECT count(*) AS n FROM branch", (leaf,))[0]["n"])

    def children(self, chat_id: str, parent_id: str | None) -> list[Message]:
        """Messages that follow one (or begin the chat), oldest first: siblings of each other."""
        rows = self.database.execute(
            "SELECT * FROM messages WHERE chat_id = ? AND parent_id IS ? ORDER BY seq", (chat_id, parent_id)
        )
        return self._messages(rows)

    def sibling_ids(self, chat_id: str) -> dict[str | None, list[str]]:
        """For every parent that has several children: the children's ids, oldest first."""
        rows = self.database.execute(
            "SELECT parent_id, group_concat(id) AS ids FROM (SELECT parent_id, id FROM messages"
            " WHERE chat_id = ? ORDER BY seq) GROUP BY parent_id HAVING count(*) > 1",
            (chat_id,),
        )
        return {row["parent_id"]: row["ids"].split(",") for row in rows}

    def last_descendant(self, message_id: str) -> str:
        """The leaf that one reaches from a message by always taking the newest child."""
        present = message_id
        while True:
            rows = self.database.execute(
                "SELECT id FROM messages WHERE parent_id = ? ORDER BY seq DESC LIMIT 1", (present,)
            )
            if not rows:
                return present
            present = rows[0]["id"]

    def unfinished(self, chat_id: str) -> list[Message]:
        """Answers that were being written when the program or the power went."""
        rows = self.database.execute(
            "SELECT * FROM messages WHERE chat_id = ? AND status = 'partial'", (chat_id,)
        )
        return self._messages(rows)

    def _messages(self, rows: Sequence[Any]) -> list[Message]:
        """Messages of rows, with the pages attached to them."""
        pages: dict[str, list[Page]] = {}
        with_pages = [row["id"] for row in rows if row["role"] in ("user", "tool")]
        for start in range(0, len(with_pages), 500):
            part = with_pages[start : start + 500]
            marks = ",".join("?" for _ in part)
            for row in self.database.execute(
                f"SELECT * FROM pages WHERE message_id IN ({marks}) ORDER BY message_id, position", part
            ):
                pages.setdefault(row["message_id"], []).append(page_from_row(row))
        return [message_from_row(row, tuple(pages.get(row["id"], ()))) for row in rows]
