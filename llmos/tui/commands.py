"""Slash commands of the face; those of plugins join them at run time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SlashCommand:
    """One command.

    Attributes:
        name: what is typed after the slash.
        help: one sentence.
        call: method of the chat screen, called with what follows the name.
        argument: what may follow, for the completion.
    """

    name: str
    help: str
    call: str
    argument: str = ""


COMMANDS: tuple[SlashCommand, ...] = (
    SlashCommand("help", "Find a page of the handbook", "slash_help", "QUESTION"),
    SlashCommand("new", "New chat", "slash_new"),
    SlashCommand("rename", "Rename this chat", "slash_rename", "TITLE"),
    SlashCommand("delete", "Delete this chat", "slash_delete"),
    SlashCommand("undelete", "Bring the chat deleted last back", "slash_undelete"),
    SlashCommand("model", "Choose the model", "slash_model", "NAME"),
    SlashCommand("theme", "Choose the colours", "slash_theme", "NAME"),
    SlashCommand("copy", "Copy the whole chat, the last answer or its code", "slash_copy", "chat|answer|code"),
    SlashCommand("find", "Find in this chat", "slash_find", "WORDS"),
    SlashCommand("search", "Search all chats", "slash_search"),
    SlashCommand("fork", "Copy this chat into a new one", "slash_fork"),
    SlashCommand("pin", "Pin or unpin this chat", "slash_pin"),
    SlashCommand("tags", "Set tags of this chat", "slash_tags", "WORDS"),
    SlashCommand("system", "System prompt of this chat", "slash_system", "TEXT"),
    SlashCommand("set", "A sampling setting of this chat", "slash_set", "temperature 0.2"),
    SlashCommand("persona", "Choose an expert for this chat", "slash_persona"),
    SlashCommand("template", "Insert a prompt template", "slash_template"),
    SlashCommand("export", "Export this chat (.md, .json, .html)", "slash_export", "FILE"),
    SlashCommand("import", "Import chats of ChatGPT or Open WebUI", "slash_import", "FILE"),
    SlashCommand("retry", "Answer the last question again", "slash_retry"),
    SlashCommand("keys", "Every key", "slash_keys"),
    SlashCommand("quit", "Leave", "slash_quit"),
)


def find_command(name: str) -> SlashCommand | None:
    """The command of a name, or the only one that begins so."""
    exact = [command for command in COMMANDS if command.name == name]
    if exact:
        return exact[0]
    beginning = [command for command in COMMANDS if name and command.name.startswith(name)]
    return beginning[0] if len(beginning) == 1 else None
