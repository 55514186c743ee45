"""Watches what plugin code in its own process reaches for; the conformance kit compares it with the manifest.

Python tells of sockets, files and programs by audit events. Native code is not seen here; the
network filter of the system stops that.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

_NETWORK = {"socket.__new__", "socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo"}
_PROGRAMS = {"subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "os.spawn", "os.fork", "pty.spawn"}
_CHANGES = {
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.mkdir",
    "shutil.rmtree",
    "os.chmod",
    "os.link",
    "os.symlink",
}


def watch(seen: Callable[[str, str], None]) -> None:
    """Begin to watch this process, for good.

    Args:
        seen: told ``(what, detail)``: ``network``, ``execute``, ``write`` or ``read``; each once.
    """
    told: set[tuple[str, str]] = set()
    busy = threading.local()
    own = [str(Path.cwd()), tempfile.gettempdir(), "/dev", "/proc", "/sys"]
    known = [*own, sys.prefix, sys.base_prefix, *(path for path in sys.path if path)]
    home = str(Path.home())

    def tell(what: str, detail: str) -> None:
        if (what, detail) not in told and len(told) < 200:
            told.add((what, detail))
            seen(what, detail)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _WATCHED or getattr(busy, "on", False):
            return
        busy.on = True
        try:
            if event in _NETWORK:
                if not _local(event, arguments):
                    tell("network", event)
            elif event in _PROGRAMS:
                tell("execute", f"{event} {arguments[0] if arguments else ''}"[:120])
            elif event == "open":
                _file(arguments, tell, own, known, home)
            elif event in _CHANGES:
                path = _path(arguments[0])
                if path and not _below(path, own) and "__pycache__" not in path:
                    tell("write", path)
        finally:
            busy.on = False

    sys.addaudithook(hook)


_WATCHED = _NETWORK | _PROGRAMS | _CHANGES | {"open"}


def _local(event: str, arguments: tuple[Any, ...]) -> bool:
    """Whether a socket event stays on this machine by its family."""
    if event == "socket.__new__":
        return len(arguments) > 1 and arguments[1] in (getattr(socket, "AF_UNIX", None), -1)
    first = arguments[0] if arguments else None
    return getattr(first, "family", None) == getattr(socket, "AF_UNIX", -2)


def _path(value: Any) -> str:
    try:
        return os.path.abspath(os.fsdecode(value)) if isinstance(value, (str, bytes, os.PathLike)) else ""
    except (ValueError, OSError):
        return ""


def _file(
    arguments: tuple[Any, ...], tell: Callable[[str, str], None], own: list[str], known: list[str], home: str
) -> None:
    path = _path(arguments[0])
    if not path or "__pycache__" in path:
        return
    mode, flags = arguments[1], arguments[2] if len(arguments) > 2 else 0
    writes = any(letter in str(mode or "") for letter in "wax+") or (
        isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    )
    if writes and not _below(path, own):
        tell("write", path)
    elif not writes and _below(path, [home]) and not _below(path, known):
        tell("read", path)


def _below(path: str, folders: list[str]) -> bool:
    return any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in folders)
