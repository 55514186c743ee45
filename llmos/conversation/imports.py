"""Reads chats that other programs exported: ChatGPT, Open WebUI, and LLMOS's own JSON.

What comes in is text of unknown origin: it is cleaned and labelled untrusted, whoever is said to
have written it. Chats that are there already (by the id of their export) are left out.
"""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmos.conversation.intake import clean_input
from llmos.conversation.store import Store
from llmos.types import Confidentiality, Integrity, Labels, Message, Role, UserError, new_id
from llmos.wording import counted

#: Largest file that is read, in bytes.
LARGEST = 1_000_000_000

_LABELS = Labels(frozenset({"import"}), Integrity.UNTRUSTED, Confidentiality.PRIVATE)
_ROLES: dict[str, Role] = {"user": "user", "human": "user", "assistant": "assistant", "tool": "tool"}


@dataclass
class ImportReport:
    """What an import did."""

    chats: int = 0
    messages: int = 0
    present: int = 0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        text = f"{counted(self.chats, 'chat')} with {counted(self.messages, 'message')} read"
        if self.present:
            text += f", {self.present} were there already"
        if self.faults:
            text += f"; {len(self.faults)} could not be read, first: {self.faults[0]}"
        return text + "."


@dataclass
class _Draft:
    """A chat on its way into the store; messages in order, parents by id."""

    key: str
    title: str
    created_at: float
    messages: list[Message] = field(default_factory=list)
    leaf: str | None = None


def import_file(store: Store, path: Path) -> ImportReport:
    """Read one export (JSON, or ChatGPT's ZIP) into the store.

    Raises:
        UserError: the file cannot be read, or is no export that is known.
    """
    data = _read(path)
    report = ImportReport()
    for one in _items(data, path):
        try:
            draft = _draft(one)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            report.faults.append(f"{type(error).__name__} {error}")
            continue
        if not draft.messages:
            continue
        if _store(store, draft):
            report.chats += 1
            report.messages += len(draft.messages)
        else:
            report.present += 1
    return report


def _read(path: Path) -> Any:
    """The file's JSON."""
    try:
        if path.stat().st_size > LARGEST:
            raise UserError(f"{path} is larger than {LARGEST:,} bytes; split it first.")
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                name = next(
                    (one for one in archive.namelist() if one.rpartition("/")[2] == "conversations.json"), None
                )
                if name is None:
                    raise UserError(f"{path} holds no conversations.json; it is no export of ChatGPT.")
                if archive.getinfo(name).file_size > LARGEST:
                    raise UserError(f"{path} holds more than {LARGEST:,} bytes; split it first.")
                text = archive.read(name).decode("utf-8", "replace")
        else:
            text = path.read_bytes().decode("utf-8-sig", "replace")
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} cannot be read: {error}.") from error
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON, so it is no export that can be read.") from error


def _items(data: Any, path: Path) -> Iterable[Any]:
    """Single chats of an export."""
    if isinstance(data, Mapping):
        if data.get("format") == "llmos-chat" or "mapping" in data or "chat" in data:
            return [data]
        for key in ("conversations", "chats", "data"):
            if isinstance(data.get(key), list):
                return list(data[key])
    if isinstance(data, list) and all(isinstance(one, Mapping) for one in data):
        return data
    raise UserError(f"{path} is no export of ChatGPT, Open WebUI or LLMOS.")


def _draft(one: Mapping[str, Any]) -> _Draft:
    if one.get("format") == "llmos-chat":
        return _from_llmos(one)
    if "mapping" in one:
        return _from_chatgpt(one)
    return _from_open_webui(one)


def _from_chatgpt(one: Mapping[str, Any]) -> _Draft:
    """A tree of nodes, of which some hold no visible message."""
    mapping: Mapping[str, Any] = one["mapping"]
    key = str(one.get("conversation_id") or one.get("id") or "")
    draft = _Draft(key, _title(one.get("title")), _seconds(one.get("create_time")))
    ids: dict[str, str | None] = {}
    for node_id in _parents_first(mapping):
        node = mapping[node_id]
        above = ids.get(str(node.get("parent")))
        message = node.get("message") or {}
        role = _ROLES.get(str((message.get("author") or {}).get("role")))
        text = _chatgpt_text(message.get("content") or {})
        if role in ("user", "assistant") and text.strip():
            made = _message(role, text, above, _seconds(message.get("create_time")) or draft.created_at)
            draft.messages.append(made)
            ids[node_id] = made.id
        else:
            ids[node_id] = above
    draft.leaf = ids.get(str(one.get("current_node")))
    return draft


def _chatgpt_text(content: Mapping[str, Any]) -> str:
    if isinstance(content.get("text"), str):
        return str(content["text"])
    parts = content.get("parts") or []
    return "\n\n".join(part if isinstance(part, str) else "[attachment left out]" for part in parts if part)


def _from_open_webui(one: Mapping[str, Any]) -> _Draft:
    """``chat.history.messages`` is a tree; older exports have only the list ``chat.messages``."""
    chat: Mapping[str, Any] = one.get("chat") or one
    created = _seconds(one.get("created_at") or chat.get("timestamp"))
    draft = _Draft(
        str(one.get("id") or chat.get("id") or ""), _title(one.get("title") or chat.get("title")), created
    )
    history = chat.get("history") or {}
    tree: Mapping[str, Any] = history.get("messages") or {}
    ids: dict[str, str | None] = {}
    if tree:
        nodes = {key: {**node, "parent": node.get("parentId")} for key, node in tree.items()}
        for node_id in _parents_first(nodes):
            _add_plain(draft, nodes[node_id], ids.get(str(nodes[node_id]["parent"])), ids, node_id)
        draft.leaf = ids.get(str(history.get("currentId")))
        return draft
    last: str | None = None
    for place, node in enumerate(chat["messages"]):
        _add_plain(draft, node, last, ids, str(place))
        last = ids[str(place)]
    return draft


def _add_plain(
    draft: _Draft, node: Mapping[str, Any], above: str | None, ids: dict[str, str | None], key: str
) -> None:
    """A message with ``role``, ``content`` and perhaps ``timestamp``."""
    role = _ROLES.get(str(node.get("role")))
    text = node.get("content")
    if isinstance(text, list):
        text = "\n\n".join(str(part.get("text", "")) for part in text if isinstance(part, Mapping))
    if role in ("user", "assistant") and isinstance(text, str) and text.strip():
        made = _message(role, text, above, _seconds(node.get("timestamp")) or draft.created_at)
        draft.messages.append(made)
        ids[key] = made.id
    else:
        ids[key] = above


def _from_llmos(one: Mapping[str, Any]) -> _Draft:
    chat: Mapping[str, Any] = one["chat"]
    draft = _Draft(str(chat["id"]), _title(chat.get("title")), _seconds(chat.get("created_at")))
    ids: dict[str, str] = {}
    for node in one["messages"]:
        role = _ROLES.get(str(node["role"]))
        if role is None:
            continue
        made = _message(
            role, str(node["content"]), ids.get(str(node.get("parent_id"))), _seconds(node.get("created_at"))
        )
        made.thinking = clean_input(str(node.get("thinking", "")))
        made.name = str(node.get("name", ""))
        made.status = "complete" if node.get("status") == "complete" else "stopped"
        if role == "tool":  # a result without its call is no part of a prompt; the text is kept as said
            made.role, made.content = "assistant", f"[result of {made.name}]\n{made.content}"
        if not made.content.strip():
            ids[str(node["id"])] = made.parent_id or ""
            continue
        draft.messages.append(made)
        ids[str(node["id"])] = made.id
    draft.leaf = ids.get(str(chat.get("leaf_id")))
    for message in draft.messages:
        message.parent_id = message.parent_id or None
    return draft


def _message(role: Role, text: str, parent: str | None, created: float) -> Message:
    return Message(role, clean_input(text), parent_id=parent, labels=_LABELS, created_at=created or time.time())


def _parents_first(nodes: Mapping[str, Any]) -> list[str]:
    """Keys so that every parent comes before its children; cycles and lost parents do no harm."""
    children: dict[str, list[str]] = {}
    roots: list[str] = []
    for key, node in nodes.items():
        parent = node.get("parent")
        if parent is not None and str(parent) in nodes:
            children.setdefault(str(parent), []).append(key)
        else:
            roots.append(key)
    ordered: list[str] = []
    waiting = roots[::-1]
    while waiting:
        key = waiting.pop()
        ordered.append(key)
        waiting.extend(reversed(children.get(key, [])))
    return ordered


def _store(store: Store, draft: _Draft) -> bool:
    """Write one chat, whole or not at all; False when its export was read before."""
    with store.database.transaction():
        if draft.key and any(
            store.chat_settings(row["chat_id"]).get("imported_from") == draft.key
            for row in store.database.execute(
                "SELECT chat_id FROM chat_settings WHERE key = 'imported_from' AND value = ?",
                (json.dumps(draft.key),),
            )
        ):
            return False
        chat = store.create_chat(chat_id=new_id(), created_at=draft.created_at)
        if draft.title:
            store.rename_chat(chat.id, draft.title)
        if draft.key:
            store.set_chat_setting(chat.id, "imported_from", draft.key)
        for message in draft.messages:
            message.chat_id = chat.id
            store.add_message(message, leaf=False)
        last = max(message.created_at for message in draft.messages)
        store.database.execute(
            "UPDATE chats SET leaf_id = ?, updated_at = ? WHERE id = ?",
            (draft.leaf or draft.messages[-1].id, last, chat.id),
        )
    return True


def _title(value: Any) -> str:
    return " ".join(clean_input(str(value)).split())[:200] if value else ""


def _seconds(value: Any) -> float:
    """Seconds since the epoch, from seconds or milliseconds; 0.0 when there is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value) / 1000 if value > 1e11 else float(value)
