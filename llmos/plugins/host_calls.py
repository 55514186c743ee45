"""What a plugin in a process of its own may ask of the program: a list of names, and nothing else."""

from __future__ import annotations

from typing import Any

from llmos.plugins.host import PluginHost

#: Methods of the host that a foreign process may call; nothing else of the program is in its reach.
ALLOWED = frozenset(
    {
        "generate",
        "fork",
        "count_tokens",
        "embed",
        "embedder_id",
        "approve",
        "notify",
        "tools_changed",
        "chat_messages",
        "search_chats",
        "window_labels",
        "window_pages",
        "pin_page",
        "evict_page",
        "kv_state",
        "settings",
        "offline",
        "model_name",
        "context_size",
        "model_parameters",
        "http.check",
        "http.request",
        "store.get",
        "store.set",
        "store.delete",
        "store.keys",
        "jobs.idle",
        "jobs.quiet_seconds",
    }
)
#: Those that tell of the user's chats; only for plugins that declare to read what is private.
PRIVATE = frozenset({"chat_messages", "search_chats", "window_pages", "evict_page", "kv_state"})


def call_host(host: PluginHost, method: str, arguments: list[Any], named: dict[str, Any]) -> Any:
    """On a worker thread: a method or property of the host by its dotted name."""
    target: Any = host
    for part in method.split("."):
        target = getattr(target, part)
    return target(*arguments, **named) if callable(target) else target
