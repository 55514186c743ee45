"""Help: the keys of what has the focus, and the handbook with full-text search, no model needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmos.tui.actions import ACTIONS, SCOPES, Scope, keys_of
from llmos.tui.screens.picker import Pick, Picker
from llmos.tui.screens.reader import Reader
from llmos.tui.widgets.chat_list import ChatList
from llmos.tui.widgets.prompt import Prompt
from llmos.tui.widgets.tool_block import ApprovalBlock
from llmos.tui.widgets.transcript import Transcript

if TYPE_CHECKING:
    from textual.widget import Widget

    from llmos.tui.app import LlmosApp

_ABOUT: dict[Scope, str] = {
    "prompt": "Type and press Enter. `/` begins a command, `@` names a file; both complete with Tab.",
    "block": "The cursor stands on a block of the chat; keys act on it. Esc goes back to the prompt.",
    "list": "Enter opens a chat. Typing in the field above narrows the list down.",
    "approval": "The model asks to do something. What is shown is exactly what will be done.",
    "chat": "The chat.",
    "app": "Every tab.",
}


def scope_of(widget: Widget | None) -> Scope:
    """Where the focus is, in the words of the action table."""
    while widget is not None:
        if isinstance(widget, Prompt):
            return "prompt"
        if isinstance(widget, ApprovalBlock):
            return "approval"
        if isinstance(widget, Transcript):
            return "block"
        if isinstance(widget, ChatList):
            return "list"
        widget = widget.parent if hasattr(widget.parent, "parent") else None  # type: ignore[assignment]
    return "app"


def help_text(face: LlmosApp) -> str:
    """Help for what has the focus, as Markdown."""
    first = scope_of(face.focused)
    order: list[Scope] = [first]
    if hasattr(face.screen, "chat_id"):
        order.append("chat")
    order.append("app")
    parts = [_ABOUT[first]]
    for scope in dict.fromkeys(order):
        rows = [
            f"| {keys_of(action, face.options.keys)} | {action.description} |"
            for action in ACTIONS
            if action.scope == scope and keys_of(action, face.options.keys)
        ]
        parts.append(f"## {SCOPES[scope]}\n\n| keys | what it does |\n|---|---|\n" + "\n".join(rows))
    parts.append("`/help QUESTION` searches the handbook; Ctrl+P finds every action by name.")
    return "\n\n".join(parts)


def open_help(face: LlmosApp) -> None:
    """Show the help for what has the focus."""
    if isinstance(face.screen, Reader):
        return
    face.push_screen(Reader("Help", help_text(face), markdown=True))


async def open_handbook(face: LlmosApp, question: str) -> None:
    """Show the page of the handbook that fits a question best; the others can be chosen."""
    import asyncio

    from llmos.tui.handbook import search

    hits = await asyncio.to_thread(search, question)
    if not hits:
        face.tell("The handbook has no page on that; F1 lists the keys.", "warning")
        return

    async def choose() -> None:
        picks = [Pick(str(place), hit.title, hit.excerpt) for place, hit in enumerate(hits)]
        chosen = picks[0].id if len(picks) == 1 else await face.push_screen_wait(Picker("Handbook", picks))
        if chosen is not None:
            hit = hits[int(chosen)]
            await face.push_screen(Reader(hit.title, hit.text, hit.page, markdown=True))

    face.run_worker(choose(), group="handbook", exclusive=True)
