"""Chats to and from files; runs on the store's thread."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from llmos.types import UserError

if TYPE_CHECKING:
    from llmos.conversation.export import Format
    from llmos.conversation.store import Store


def chat_text(store: Store, chat_id: str, form: Format = "markdown") -> str:
    """A chat as one text.

    Raises:
        UserError: the chat is gone.
    """
    from llmos.conversation.export import export_chat

    chat = store.chat(chat_id)
    if chat is None:
        raise UserError("This chat is not stored any more.")
    return export_chat(store, chat, form)


def write_chat(store: Store, chat_id: str, target: Path) -> None:
    """Write a chat to a new file; its ending says the format (Markdown unless .json or .html).

    Raises:
        UserError: the chat is gone, the file is there already or cannot be written.
    """
    from llmos.conversation.export import format_of

    text = chat_text(store, chat_id, format_of(target.name))
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UserError(f"{target} cannot be written ({error.strerror}); choose another name.") from error


def read_chats(store: Store, source: Path) -> str:
    """Read an export of ChatGPT, Open WebUI or this program; says what came in.

    Raises:
        UserError: no such file, or no such export.
    """
    from llmos.conversation.imports import import_file

    return str(import_file(store, source))
