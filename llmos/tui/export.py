"""A chat as Markdown, for copying; files are written by the conversation's own export."""

from __future__ import annotations

from collections.abc import Sequence

from llmos.types import Message


def chat_markdown(title: str, messages: Sequence[Message]) -> str:
    """The messages of one branch under headings.

    Args:
        title: the chat's name, may be empty.
        messages: oldest first; tool results are quoted.
    """
    parts: list[str] = [f"# {title}"] if title else []
    for message in messages:
        if message.role == "user":
            parts.append(f"**You**\n\n{message.content}")
        elif message.role == "assistant":
            if message.content:
                parts.append(f"**LLMOS**\n\n{message.content}")
            parts.extend(f"*called {call.name}*" for call in message.tool_calls)
        elif message.role == "tool":
            quoted = "\n".join(f"> {line}" for line in message.content.split("\n"))
            parts.append(f"*result of {message.name}*\n\n{quoted}")
    return "\n\n".join(parts) + ("\n" if parts else "")
