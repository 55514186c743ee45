"""Every action of the face in one table: id, what it does, its keys.

Bindings, the palette, the help and ``docs/keys.md`` are made from this table alone; the setting
``keys`` maps an id to other keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from textual.binding import Binding, BindingType

Scope = Literal["app", "chat", "prompt", "block", "list", "approval"]


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that the user can do.

    Attributes:
        id: what the settings call it.
        description: what it does, as the palette and the help say it.
        keys: default keys, separated by commas; empty: palette only.
        scope: where the keys work.
        call: Textual action, without its namespace.
        palette: whether the palette lists it.
    """

    id: str
    description: str
    keys: str
    scope: Scope
    call: str
    palette: bool = True


ACTIONS: tuple[Action, ...] = (
    Action("app.palette", "Find any action", "ctrl+p", "app", "palette", palette=False),
    Action("app.help", "Help for what has the focus", "f1", "app", "context_help"),
    Action("app.interrupt", "Copy a selection, else stop, else quit", "ctrl+c", "app", "interrupt", False),
    Action("app.quit", "Quit", "", "app", "quit"),
    Action("app.next_tab", "Next tab", "f6", "app", "step_tab(1)"),
    Action("app.previous_tab", "Previous tab", "shift+f6", "app", "step_tab(-1)"),
    *(
        Action(f"app.tab_{number}", f"Tab {number}", f"alt+{number}", "app", f"open_tab({number})", False)
        for number in range(1, 10)
    ),
    Action("app.jump", "Jump to a part of the screen by a letter", "ctrl+t", "app", "jump"),
    Action("app.theme", "Choose the colours", "", "app", "pick_theme"),
    Action("app.model", "Choose the model", "ctrl+o", "app", "pick_model"),
    Action("app.offline", "Switch the network off or on", "", "app", "toggle_offline"),
    Action("chat.new", "New chat", "ctrl+n", "chat", "new_chat"),
    Action("chat.list", "Show or hide the list of chats", "ctrl+l", "chat", "toggle_list"),
    Action("chat.search", "Search all chats", "ctrl+r", "chat", "search_chats"),
    Action("chat.find", "Find in this chat", "f3", "chat", "find"),
    Action("chat.rename", "Rename this chat", "f2", "chat", "rename_chat"),
    Action("chat.delete", "Delete this chat", "f8", "chat", "delete_chat"),
    Action("chat.undelete", "Bring the chat deleted last back", "f9", "chat", "undelete_chat"),
    Action("chat.pin", "Pin or unpin this chat", "", "chat", "pin_chat"),
    Action("chat.tags", "Set tags of this chat", "", "chat", "tag_chat"),
    Action("chat.fork", "Copy this chat into a new one", "", "chat", "fork_chat"),
    Action("chat.export", "Export this chat to a file", "", "chat", "export_chat"),
    Action("chat.import", "Import chats from a file", "", "chat", "import_chats"),
    Action("chat.copy", "Copy the whole chat", "", "chat", "copy_chat"),
    Action("chat.copy_answer", "Copy the last answer", "f7", "chat", "copy_answer"),
    Action("chat.copy_code", "Copy the last code block", "", "chat", "copy_code"),
    Action("chat.system", "System prompt of this chat", "", "chat", "system_prompt"),
    Action("chat.sampling", "Sampling settings of this chat", "", "chat", "sampling"),
    Action("chat.persona", "Choose an expert for this chat", "", "chat", "pick_persona"),
    Action("chat.effort", "Think longer or not: off, 20 s, 5 min, until sure", "alt+t", "chat", "effort"),
    Action("chat.side", "Show or hide the side panel", "f5", "chat", "toggle_side"),
    Action("chat.odds", "Odds of the answer's words, and a branch from one", "f4", "chat", "odds"),
    Action("chat.blocks", "Move over the blocks of the chat", "ctrl+up,alt+up", "chat", "blocks"),
    Action("chat.prompt", "Back to the prompt", "ctrl+down,alt+down", "chat", "to_prompt", False),
    Action("chat.stop", "Stop the answer and keep what came", "escape", "chat", "stop"),
    Action("chat.end", "To the end of the chat", "ctrl+end", "chat", "to_end", False),
    Action("chat.page_up", "Scroll up a page", "pageup", "chat", "page(-1)", False),
    Action("chat.page_down", "Scroll down a page", "pagedown", "chat", "page(1)", False),
    Action("prompt.send", "Send", "enter", "prompt", "send", False),
    Action("prompt.newline", "New line", "ctrl+j,alt+enter,shift+enter", "prompt", "newline", False),
    Action("prompt.editor", "Write the prompt in $EDITOR", "ctrl+g", "prompt", "editor"),
    Action("prompt.template", "Insert a prompt template", "", "chat", "pick_template"),
    Action("prompt.fit", "Cut a message that is too long to what fits", "alt+s", "chat", "fit"),
    Action("block.up", "Block above", "up,k", "block", "cursor(-1)", False),
    Action("block.down", "Block below", "down,j", "block", "cursor(1)", False),
    Action("block.first", "First block", "home,g", "block", "cursor_to('first')", False),
    Action("block.last", "Last block", "end,G", "block", "cursor_to('last')", False),
    Action("block.copy", "Copy the block", "c,y", "block", "block('copy')", False),
    Action("block.copy_code", "Copy its code", "x", "block", "block('code')", False),
    Action("block.edit", "Edit the message and branch", "e", "block", "block('edit')", False),
    Action("block.regenerate", "Answer again", "r", "block", "block('regenerate')", False),
    Action("block.fold", "Fold or unfold", "space,f", "block", "block('fold')", False),
    Action("block.editor", "Open in $EDITOR", "o", "block", "block('editor')", False),
    Action("block.save", "Save to a file", "s", "block", "block('save')", False),
    Action("block.sources", "Open a source of the answer", "enter", "block", "block('sources')", False),
    Action("block.older", "Older branch", "left_square_bracket", "block", "block('older')", False),
    Action("block.newer", "Newer branch", "right_square_bracket", "block", "block('newer')", False),
    Action("block.find", "Find in this chat", "slash", "block", "find", False),
    Action("list.rename", "Rename", "r", "list", "rename", False),
    Action("list.delete", "Delete", "d,delete", "list", "delete", False),
    Action("list.undo", "Bring back what was deleted last", "u", "list", "undo", False),
    Action("list.pin", "Pin or unpin", "p", "list", "pin", False),
    Action("approval.once", "Allow once", "y", "approval", "answer('once')", False),
    Action("approval.chat", "Allow in this chat", "c", "approval", "answer('chat')", False),
    Action("approval.always", "Always allow", "a", "approval", "answer('always')", False),
    Action("approval.deny", "Refuse", "n", "approval", "answer('deny')", False),
)

#: Keys that terminals or shells take for themselves; never a default.
RESERVED = frozenset({"ctrl+s", "ctrl+q", "ctrl+i", "ctrl+m", "ctrl+h", "ctrl+left_square_bracket"})

SCOPES: dict[Scope, str] = {
    "app": "Everywhere",
    "chat": "Chat",
    "prompt": "Prompt",
    "block": "Blocks of a chat (Ctrl+Up from the prompt)",
    "list": "List of chats",
    "approval": "A question before an effect",
}


def bindings(*scopes: Scope) -> list[BindingType]:
    """Bindings of some scopes, with ids so that the user's keys can replace them."""
    return [
        Binding(
            action.keys,
            # The transcript moves its cursor itself; what is done with a block is the screen's.
            f"screen.{action.call}" if action.call.startswith(("block(", "find")) else action.call,
            action.description,
            id=action.id,
            priority=action.id == "app.interrupt",
        )
        for action in ACTIONS
        if action.scope in scopes and action.keys
    ]


def action_by_id(action_id: str) -> Action | None:
    """The action with an id."""
    return next((action for action in ACTIONS if action.id == action_id), None)


def unknown_ids(keys: Mapping[str, str]) -> list[str]:
    """Ids in the setting ``keys`` that no action has."""
    known = {action.id for action in ACTIONS}
    return sorted(set(keys) - known)


def keys_of(action: Action, keys: Mapping[str, str]) -> str:
    """The keys of an action, the user's own before the defaults, as people write them."""
    return ", ".join(key_name(key) for key in keys.get(action.id, action.keys).split(",") if key)


def key_name(key: str) -> str:
    """``ctrl+left_square_bracket`` as ``Ctrl+[``."""
    names = {
        "left_square_bracket": "[",
        "right_square_bracket": "]",
        "slash": "/",
        "escape": "Esc",
        "pageup": "PgUp",
        "pagedown": "PgDn",
    }
    parts = key.strip().split("+")
    last = names.get(
        parts[-1], parts[-1] if len(parts) == 1 and len(parts[-1]) == 1 else parts[-1].capitalize()
    )
    return "+".join([*(part.capitalize() for part in parts[:-1]), last])


def keys_document(actions: Iterable[Action] = ACTIONS) -> str:
    """``docs/keys.md``."""
    lines = [
        "# Keys",
        "",
        "Made from the table in `llmos/tui/actions.py`. To change one, put its id and the new keys under",
        "`[keys]` in `settings.toml`, for example:",
        "",
        "```toml",
        "[keys]",
        '"chat.new" = "ctrl+y"',
        "```",
        "",
        "The palette (Ctrl+P) finds every action by name, also those without a key.",
    ]
    for scope, title in SCOPES.items():
        rows = [action for action in actions if action.scope == scope]
        lines += ["", f"## {title}", "", "| keys | what it does | id |", "|---|---|---|"]
        for action in rows:
            keys = keys_of(action, {}).replace("|", "\\|") or "palette"
            lines.append(f"| {keys} | {action.description} | `{action.id}` |")
    return "\n".join(lines) + "\n"
