"""$EDITOR: the program steps aside while it runs."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.app import SuspendNotSupported

from llmos.types import UserError

if TYPE_CHECKING:
    from textual.app import App


def edit_text(app: App[Any], text: str, *, suffix: str = ".md") -> str:
    """Edit a text; gives it as the editor left it.

    Raises:
        UserError: no editor, or the terminal cannot be lent to it.
    """
    command = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    with tempfile.TemporaryDirectory(prefix="llmos-") as folder:
        file = Path(folder) / f"text{suffix}"
        file.write_text(text, encoding="utf-8")
        try:
            with app.suspend():
                ended = subprocess.run([*command, str(file)], check=False).returncode
        except SuspendNotSupported as error:
            raise UserError("This terminal cannot be lent to an editor.") from error
        except OSError as error:
            raise UserError(
                f"The editor {command[0]!r} cannot be started ({error.strerror}); set the variable EDITOR."
            ) from error
        app.refresh()
        if ended or not file.is_file():
            raise UserError(f"The editor {command[0]!r} did not end well; the text is as it was.")
        return file.read_text(encoding="utf-8", errors="replace").removesuffix("\n")
