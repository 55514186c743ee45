"""Copying: by the terminal (OSC 52) and, where there is one, by the system's own tool."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textual.app import App


def copy(app: App[Any], text: str) -> None:
    """Put a text on the clipboard."""
    app.copy_to_clipboard(text)
    command = native_command(os.environ, sys.platform)
    if command is None:
        return
    try:
        subprocess.run(
            command,
            input=text.encode(),
            timeout=1,
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        # The terminal has the text already; a broken tool changes nothing.
        return


def native_command(environment: Any, platform: str) -> list[str] | None:
    """The system's copy command, or None where there is no desktop (ssh, console)."""
    if platform == "darwin":
        candidates = [["pbcopy"]]
    elif environment.get("WAYLAND_DISPLAY"):
        candidates = [["wl-copy"]]
    elif environment.get("DISPLAY"):
        candidates = [["xclip", "-selection", "clipboard"], ["xsel", "--clipboard", "--input"]]
    else:
        candidates = []
    return next((command for command in candidates if shutil.which(command[0])), None)


def selected(app: App[Any]) -> str:
    """Text that is selected by mouse or in the focused field."""
    text = app.screen.get_selected_text()
    if text:
        return text
    focused = app.focused
    value = getattr(focused, "selected_text", "")
    return value if isinstance(value, str) else ""
