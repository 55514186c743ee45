"""Files that the user hands in: read-only copies in a folder of the session's own.

The sandbox sees the copies alone, so it can neither change an original nor follow a link from it.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from llmos.types import UserError

MAX_FILE = 256 * 1024 * 1024
MAX_FILES = 200


def hand_in(folder: Path, source: Path) -> str:
    """Copy a file into the folder, read-only.

    Args:
        folder: the session's folder of copies.
        source: a regular file of the user's.

    Returns:
        The copy's name.

    Raises:
        UserError: not a regular file, too large, or not readable.
    """
    source = source.expanduser()
    try:
        # One descriptor for looking and reading: the file cannot be exchanged in between.
        descriptor = os.open(source, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        raise UserError(f"The file {source} cannot be read: {error.strerror}.") from error
    state = os.fstat(descriptor)
    if not stat.S_ISREG(state.st_mode):
        os.close(descriptor)
        raise UserError(f"{source} is no ordinary file; hand in files one by one.")
    with os.fdopen(descriptor, "rb") as stream:
        if state.st_size > MAX_FILE:
            raise UserError(f"The file {source} is larger than {MAX_FILE >> 20} MB, too large to hand in.")
        if len(list(folder.iterdir())) >= MAX_FILES:
            raise UserError(f"There are {MAX_FILES} files in this sandbox already; reset it first.")
        target = folder / source.name
        if target.exists():
            target.unlink()
        with open(target, "wb") as copy:
            shutil.copyfileobj(stream, copy, 1 << 20)
    target.chmod(0o444)
    return target.name
