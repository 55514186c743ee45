"""``@`` mentions: files and folders that a prompt names, and what fits while typing."""

from __future__ import annotations

import os
import re
from pathlib import Path

from llmos.tui.widgets.completion import Candidate, best

#: Entries of a folder that are looked at.
LIMIT = 2_000

_MENTION = re.compile(r'(?:^|(?<=\s))@(?:"([^"]+)"|(\S+))')


def mentioned_files(text: str) -> list[str]:
    """Existing files and folders that a text mentions, as absolute paths, each once."""
    found: list[str] = []
    for match in _MENTION.finditer(text):
        name = match.group(1) or match.group(2)
        for candidate in (name, name.rstrip(".,;:!?)")):
            path = Path(candidate).expanduser()
            try:
                exists = path.exists()
            except OSError:
                exists = False
            if exists:
                full = str(path.resolve())
                if full not in found:
                    found.append(full)
                break
    return found


def mentioned_chats(text: str) -> list[str]:
    """Titles of the chats that a text mentions as ``@"chat:TITLE"``, each once."""
    names = [match.group(1) or "" for match in _MENTION.finditer(text)]
    return list(dict.fromkeys(name.removeprefix("chat:") for name in names if name.startswith("chat:")))


def file_candidates(word: str) -> list[Candidate]:
    """Files and folders that fit ``@word``; in a folder named so far, else in the working one."""
    typed = word.removeprefix("@").removeprefix('"')
    folder, _, start = typed.rpartition("/")
    base = Path(folder + "/" if folder or typed.startswith("/") else ".").expanduser()
    candidates: list[Candidate] = []
    try:
        with os.scandir(base) as entries:
            for number, entry in enumerate(entries):
                if number >= LIMIT:
                    break
                if entry.name.startswith(".") and not start.startswith("."):
                    continue
                path = f"{folder}/{entry.name}" if folder or typed.startswith("/") else entry.name
                is_folder = entry.is_dir()
                path += "/" if is_folder else ""
                shown = f'@"{path}"' if " " in path else f"@{path}"
                candidates.append(Candidate(shown, "folder" if is_folder else "file"))
    except OSError:
        return []
    candidates.sort(key=lambda one: one.value.casefold())
    if not start:
        return candidates
    return [one for one in best(start, candidates)]
