"""Writing the user's ``settings.toml`` without touching anything else in it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from llmos.types import UserError


def write_setting(file: Path, section: str, name: str, value: Any) -> None:
    """Set one value; comments, order and everything unknown stay as they are.

    Args:
        file: the TOML file; made when it is missing.
        section: table, its parts separated by dots; empty: the top.
        name: key in the table.
        value: new value; None removes the key.

    Raises:
        UserError: the file cannot be read as TOML, or not written.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        document = tomlkit.parse(text)
    except (OSError, UnicodeDecodeError, TOMLKitError) as error:
        raise UserError(f"The settings file {file} cannot be read: {error}; mend or remove it.") from error
    table: MutableMapping[str, Any] = document
    for part in section.split(".") if section else ():
        if part not in table or not isinstance(table[part], MutableMapping):
            if value is None:
                return
            table[part] = tomlkit.table()
        table = table[part]
    if value is None:
        table.pop(name, None)
    else:
        table[name] = value
    _write(file, tomlkit.dumps(document))


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Beside the file, then renamed: a crash leaves the old one whole. A link stays a link.
        target = file.resolve()
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".settings-")
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(text)
        if target.exists():
            os.chmod(name, target.stat().st_mode & 0o777)
        os.replace(name, target)
    except OSError as error:
        raise UserError(f"The settings file {file} cannot be written: {error.strerror}.") from error
