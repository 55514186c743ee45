"""A chat as Markdown, JSON or HTML."""

from __future__ import annotations

import html
import json
import re
import time
from collections.abc import Sequence
from typing import Any, Literal

from llmos.conversation.records import Chat
from llmos.conversation.store import Store
from llmos.types import Message, UserError

Format = Literal["markdown", "json", "html"]

#: Version of the JSON format.
JSON_VERSION = 1

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = (
    "body{max-width:46rem;margin:2rem auto;padding:0 1rem;font:1rem/1.5 system-ui,sans-serif;color:#1a1a1a;"
    "background:#fff}article{margin:1rem 0;padding:.5rem 1rem;border-left:4px solid #888}"
    ".user{border-color:#2457a6}.assistant{border-color:#2d7a3e}.tool{border-color:#9a6700}"
    "h2{font-size:.9rem;margin:.2rem 0;color:#444}pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:0;"
    "font:inherit}.status{color:#9a2c2c}details{color:#555}"
    "@media(prefers-color-scheme:dark){body{background:#161616;color:#eee}h2,details{color:#bbb}}"
)


def export_chat(store: Store, chat: Chat, form: Format, *, every_branch: bool = True) -> str:
    """A chat as text in one of the formats.

    Args:
        store: where it is.
        chat: the chat.
        form: format; Markdown and HTML show the current branch.
        every_branch: for JSON: all messages, not only the current branch.

    Raises:
        UserError: an unknown format.
    """
    messages = store.branch(chat.id)
    if form == "markdown":
        return to_markdown(chat, messages)
    if form == "html":
        return to_html(chat, messages)
    if form == "json":
        every = store.all_messages(chat.id) if every_branch else messages
        return to_json(chat, every, store.chat_settings(chat.id))
    raise UserError(f"There is no format {form}; there are markdown, json and html.")


def format_of(name: str) -> Format:
    """The format that a file's name asks for; Markdown when it does not say."""
    lower = name.lower()
    if lower.endswith(".json"):
        return "json"
    return "html" if lower.endswith((".html", ".htm")) else "markdown"


def to_markdown(chat: Chat, messages: Sequence[Message]) -> str:
    """One branch under headings; what each message says stays as it was written."""
    parts = [f"# {chat.title or 'Chat'}", f"*{_when(chat.created_at)}*"]
    for message in messages:
        head = f"## {_speaker(message)}"
        if message.status != "complete":
            head += f" ({message.status})"
        parts.append(head)
        for page in message.pages:
            title = f"{page.source} > {page.heading}" if page.heading else page.source
            parts.append(f"> [{page.number}] {title}\n" + _quoted(page.text))
        if message.thinking:
            parts.append(f"<details><summary>Thoughts</summary>\n\n{message.thinking}\n\n</details>")
        for call in message.tool_calls:
            arguments = json.dumps(dict(call.arguments), ensure_ascii=False, indent=2)
            parts.append(f"Calls `{call.name}`:\n\n{_fence(arguments, 'json')}")
        if message.role == "tool":
            parts.append(_fence(message.content, ""))
        elif message.content:
            parts.append(message.content)
    return "\n\n".join(parts) + "\n"


def _fence(text: str, language: str) -> str:
    """A code block whose fence is longer than any in the text."""
    longest = max((len(run) for run in _runs_of_backticks(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _runs_of_backticks(text: str) -> list[str]:
    return re.findall("`+", text)


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.splitlines())


def to_json(chat: Chat, messages: Sequence[Message], settings: dict[str, Any]) -> str:
    """Everything that is stored of a chat."""
    return json.dumps(
        {
            "format": "llmos-chat",
            "version": JSON_VERSION,
            "chat": {
                "id": chat.id,
                "title": chat.title,
                "created_at": chat.created_at,
                "updated_at": chat.updated_at,
                "pinned": chat.pinned,
                "tags": list(chat.tags),
                "leaf_id": chat.leaf_id,
                "settings": settings,
            },
            "messages": [message_json(message) for message in messages],
        },
        ensure_ascii=False,
        indent=2,
        default=str,
    )


def message_json(message: Message) -> dict[str, Any]:
    """One message as plain data."""
    return {
        "id": message.id,
        "parent_id": message.parent_id,
        "role": message.role,
        "content": message.content,
        "thinking": message.thinking,
        "tool_calls": [
            {"id": c.id, "name": c.name, "arguments": dict(c.arguments)} for c in message.tool_calls
        ],
        "tool_call_id": message.tool_call_id,
        "name": message.name,
        "status": message.status,
        "created_at": message.created_at,
        "labels": {
            "origins": sorted(message.labels.origins),
            "integrity": message.labels.integrity.value,
            "confidentiality": message.labels.confidentiality.value,
        },
        "pages": [
            {
                "number": page.number,
                "kind": page.kind,
                "source": page.source,
                "heading": page.heading,
                "text": page.text,
                "location": dict(page.location),
            }
            for page in message.pages
        ],
        "stats": dict(message.stats),
    }


def to_html(chat: Chat, messages: Sequence[Message]) -> str:
    """One file that needs nothing else and runs nothing: every text is escaped."""
    title = html.escape(chat.title or "Chat")
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        f"<title>{title}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{title}</h1><p>{_when(chat.created_at)}</p>",
    ]
    for message in messages:
        parts.append(f'<article class="{message.role}"><h2>{html.escape(_speaker(message))}</h2>')
        if message.status != "complete":
            parts.append(f'<p class="status">{message.status}</p>')
        for page in message.pages:
            head = html.escape(f"[{page.number}] {page.source} {page.heading}".strip())
            parts.append(f"<details><summary>{head}</summary><pre>{html.escape(page.text)}</pre></details>")
        if message.thinking:
            thoughts = html.escape(message.thinking)
            parts.append(f"<details><summary>Thoughts</summary><pre>{thoughts}</pre></details>")
        for call in message.tool_calls:
            arguments = html.escape(json.dumps(dict(call.arguments), ensure_ascii=False, indent=2))
            parts.append(f"<p>Calls {html.escape(call.name)}</p><pre>{arguments}</pre>")
        parts.append(f"<pre>{html.escape(message.content)}</pre></article>")
    parts.append("</body></html>\n")
    return "\n".join(parts)


def _speaker(message: Message) -> str:
    names = {"user": "You", "assistant": "LLMOS", "system": "System"}
    return names.get(message.role, f"Tool {message.name}".strip())


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
