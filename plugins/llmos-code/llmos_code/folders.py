"""A session's folder on this machine's disk: how much it holds, and removing it whatever is in it.

The code owns the folder and does its worst: links, folders that cannot be read, thousands of
folders in one another, files that are deleted but still open.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import tempfile
from functools import cache
from pathlib import Path

import psutil

MAX_ENTRIES = 10_000
_MADE = re.compile(r"llmos-code-(\d+)-\w+")


@cache
def _swept() -> None:
    """Remove what a program that was killed left behind; once a run."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(tempfile.gettempdir()):
            found = _MADE.fullmatch(entry.name)
            if found is None or not entry.is_dir(follow_symlinks=False):
                continue
            mine = not hasattr(os, "getuid") or entry.stat(follow_symlinks=False).st_uid == os.getuid()
            if mine and not psutil.pid_exists(int(found[1])):
                remove(Path(entry.path))


def make() -> Path:
    """A new folder for a session."""
    _swept()
    return Path(tempfile.mkdtemp(prefix=f"llmos-code-{os.getpid()}-"))


def over_limit(folder: Path, pid: int, disk_mb: int) -> str:
    """Why a session must be ended for what it keeps on disk, or empty.

    Args:
        folder: the session's folder.
        pid: of the interpreter, whose deleted but open files count too.
        disk_mb: the most that it may hold.
    """
    size = count = 0
    stack = [str(folder)]
    while stack:
        try:
            with os.scandir(stack.pop()) as entries:
                for entry in entries:
                    count += 1
                    if count > MAX_ENTRIES:
                        return f"Stopped: its folder holds more than {MAX_ENTRIES} files."
                    if entry.is_dir(follow_symlinks=False):
                        stack.append(entry.path)
                    else:
                        with contextlib.suppress(FileNotFoundError):
                            size += entry.stat(follow_symlinks=False).st_blocks * 512
        except (FileNotFoundError, NotADirectoryError):
            continue  # gone meanwhile
        except OSError as error:
            return f"Stopped: its folder cannot be looked through ({error.strerror})."
    size += _deleted_size(pid)
    return f"Stopped: its files grew over {disk_mb} MB." if size > disk_mb * 1024 * 1024 else ""


def _deleted_size(pid: int) -> int:
    """Bytes of files that the process has open though they have no name any more."""
    size = 0
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                state = os.stat(f"/proc/{pid}/fd/{name}")
                if stat.S_ISREG(state.st_mode) and state.st_nlink == 0:
                    size += state.st_blocks * 512
    return size


def remove(folder: Path) -> None:
    """Remove a session's folder once its process has ended; never follows a link.

    Folders in folders are first moved up, so that no path gets longer than the system takes.
    """
    with contextlib.suppress(OSError):
        os.chmod(folder, 0o700)
        number = 0
        while True:
            inner = [entry for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
            if not inner:
                break
            for entry in inner:
                os.chmod(entry.path, 0o700)  # a folder, not a link: nobody can exchange it any more
                for child in list(os.scandir(entry.path)):
                    if child.is_dir(follow_symlinks=False):
                        number += 1
                        os.chmod(child.path, 0o700)  # moving a folder writes into it
                        os.rename(child.path, folder / f"moved-{os.getpid()}-{number}")
                    else:
                        os.unlink(child.path)
                os.rmdir(entry.path)
    shutil.rmtree(folder, ignore_errors=True)
