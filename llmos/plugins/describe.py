"""A manifest in words, as it is shown before an install and by ``llmos plugins show``."""

from __future__ import annotations

from llmos.plugins.manifest import IN_PROCESS_HOOKS, Manifest

_FILES = {"none": "", "read": "reads your files", "write": "reads and writes your files"}


def needs_of(manifest: Manifest) -> list[str]:
    """What it asks for, in words; empty when it asks for nothing."""
    needs = manifest.needs
    words = [
        _FILES[needs.files],
        "uses the network" if needs.network else "",
        "runs programs or code" if needs.execute else "",
        "writes memories that later chats read" if needs.memory else "",
        "uses the model" if needs.model else "",
    ]
    return [word for word in words if word]


def lines_of(manifest: Manifest, *, trusted: bool, version: str = "") -> list[str]:
    """Everything that matters to a user.

    Args:
        manifest: what it declares.
        trusted: whether it runs inside the program.
        version: of the package.
    """
    title = manifest.title or manifest.name
    lines = [f"{title} ({manifest.name}{f' {version}' if version else ''}): {manifest.summary}"]
    lines.append(f"Needs: {', '.join(needs_of(manifest)) or 'nothing of the below'}")
    for entry in manifest.tools:
        lines.append(f"Tool {entry.name} ({entry.effect.value}): {entry.description}")
    if "llmos_tools" in manifest.hooks and not manifest.tools:
        lines.append("Tools that are known only once it runs")
    for command in manifest.commands:
        lines.append(f"Command /{command.name}: {command.help}")
    for panel in manifest.panels:
        lines.append(f"Panel {panel.title}")
    for persona in manifest.personas:
        lines.append(f"Persona {persona.name}: {persona.description}")
    for hook, words in _HOOK_WORDS.items():
        if hook in manifest.hooks:
            lines.append(words)
    for name, part in manifest.settings.get("properties", {}).items():
        lines.append(f"Setting {name} = {part.get('default')!r}: {part.get('description', '')}")
    lines.append(f"Hooks: {', '.join(manifest.hooks) or 'none'}")
    if trusted:
        lines.append(
            "It runs inside the program: what it needs is then its word only, nothing holds it to that."
        )
    else:
        lines.append(
            "It runs in a process of its own: it can crash or hang without harm, has "
            f"{manifest.memory_mb} MB of memory"
            + ("" if manifest.needs.network else ", and no network where the system can take it away")
            + ". What it says of files and programs is its word only."
        )
        blocked = sorted(set(manifest.hooks) & IN_PROCESS_HOOKS)
        if blocked:
            lines.append(f"Without --trust these hooks are never called: {', '.join(blocked)}.")
    return lines


_HOOK_WORDS = {
    "llmos_context": "Brings text into the window before your message",
    "llmos_marks": "Marks parts of an answer",
    "llmos_turn_done": "Sees every finished turn",
    "llmos_evict": "Decides what leaves a full window",
    "llmos_generators": "Stands between you and the model",
}
