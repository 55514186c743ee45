"""The lock file: what the user installed, from where, and whether it is trusted.

``plugins.lock.toml`` lies in the data folder, outside of the program's environment, so that an
upgrade of the program cannot lose it; ``llmos plugins upgrade --restore`` puts back what it lists.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmos.settings import Folders
from llmos.types import UserError


@dataclass(frozen=True, slots=True)
class Locked:
    """One installed plugin.

    Attributes:
        name: plugin name.
        distribution: package name; empty for a single file.
        version: that was installed.
        requirement: what to give pip to get it again.
        editable: installed with ``-e``.
        trusted: runs inside the program's process by the user's word.
        sha256: of the wheel that was installed, kept for a restore.
        added: other packages that came with it.
    """

    name: str
    distribution: str = ""
    version: str = ""
    requirement: str = ""
    editable: bool = False
    trusted: bool = False
    sha256: str = ""
    added: tuple[str, ...] = ()


@dataclass(slots=True)
class Lock:
    """All entries, by plugin name."""

    path: Path
    entries: dict[str, Locked] = field(default_factory=dict)

    def trusted(self, name: str, distribution: str) -> bool:
        """Whether the user trusted this very package under this name."""
        entry = self.entries.get(name)
        return entry is not None and entry.trusted and entry.distribution == distribution

    def write(self) -> None:
        """Write the file in one step.

        Raises:
            UserError: it cannot be written.
        """
        import tomlkit

        document = tomlkit.document()
        document.add(tomlkit.comment("What is installed; written by `llmos plugins`."))
        for name in sorted(self.entries):
            entry = self.entries[name]
            table = tomlkit.table()
            for key in Locked.__dataclass_fields__:
                value: Any = getattr(entry, key)
                if key != "name" and value not in ("", False, ()):
                    table[key] = list(value) if isinstance(value, tuple) else value
            document[name] = table
        temporary = self.path.with_suffix(".new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(tomlkit.dumps(document), encoding="utf-8")
            os.replace(temporary, self.path)
        except OSError as error:
            raise UserError(f"The lock file {self.path} cannot be written: {error.strerror}.") from error


def read_lock(folders: Folders) -> Lock:
    """The lock file; a missing one is empty, a broken one is set aside and told.

    Raises:
        UserError: it cannot be read or is not TOML.
    """
    path = folders.data / "plugins.lock.toml"
    lock = Lock(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return lock
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"The lock file {path} cannot be read: {error}; mend or remove it.") from error
    for name, table in values.items():
        if isinstance(table, dict):
            known = {key: value for key, value in table.items() if key in Locked.__dataclass_fields__}
            known["added"] = tuple(known.get("added", ()))
            lock.entries[name] = Locked(**{**known, "name": name})
    return lock
