"""Where the program keeps its files; apart from the settings, so that a face can start without them.

``LLMOS_HOME`` puts every folder under one place (tests, portable use).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from llmos.errors import UserError


@dataclass(frozen=True, slots=True)
class Folders:
    """Where the program keeps its files."""

    config: Path
    data: Path
    cache: Path
    log: Path

    @property
    def settings_file(self) -> Path:
        """The user's ``settings.toml``."""
        return self.config / "settings.toml"

    @property
    def store_file(self) -> Path:
        """SQLite database of the chats."""
        return self.data / "chats.db"

    @property
    def log_file(self) -> Path:
        """Details of errors go here."""
        return self.log / "llmos.log"

    @property
    def plugins(self) -> Path:
        """Single-file plugins of the user."""
        return self.config / "plugins"

    @property
    def swap(self) -> Path:
        """KV states of conversations that were left."""
        return self.cache / "kv"

    def make(self) -> Folders:
        """Create every folder; returns itself.

        Raises:
            UserError: a folder cannot be created.
        """
        for folder in (self.config, self.data, self.cache, self.log):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UserError(
                    f"The folder {folder} cannot be created ({error.strerror}); "
                    "set LLMOS_HOME to a folder that can be written."
                ) from error
        return self


def folders() -> Folders:
    """The folders of this user, following ``LLMOS_HOME`` and the platform's habits."""
    home = os.environ.get("LLMOS_HOME")
    if home:
        root = Path(home).expanduser()
        return Folders(root / "config", root / "data", root / "cache", root / "log")
    from platformdirs import PlatformDirs

    dirs = PlatformDirs("llmos", appauthor=False)
    return Folders(
        Path(dirs.user_config_dir),
        Path(dirs.user_data_dir),
        Path(dirs.user_cache_dir),
        Path(dirs.user_log_dir),
    )
