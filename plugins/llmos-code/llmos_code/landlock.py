"""The tier for Linux without bubblewrap: Landlock, a system-call filter and resource limits.

The interpreter confines itself before it reads any code: Landlock leaves it the standard library
and the packages to read and one folder to write; the filter refuses every socket, process and
signal. What Landlock cannot hide: whether a path exists, and a file's size and times (``stat``).
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path

from llmos_code import folders, seccomp
from llmos_code.interpreter import environment, interpreter
from llmos_code.limits import Limits, Tier
from llmos_code.process import Launch, ProcessSession, guest_file
from llmos_code.syscalls import MACHINES

OLDEST_VERSION = 3


def version() -> int:
    """Version of the kernel's Landlock, or 0 when it has none."""
    if sys.platform != "linux":
        return 0
    import ctypes

    return max(0, int(ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), ctypes.c_uint(1))))


def missing() -> str:
    """Why Landlock cannot be tried here, or empty."""
    if sys.platform != "linux":
        return "it exists on Linux only"
    if platform.machine() not in MACHINES:
        return f"no system-call filter for {platform.machine()}"
    if version() < OLDEST_VERSION:
        return f"the kernel has no Landlock of version {OLDEST_VERSION} or later (Linux 6.2)"
    return ""


def open_session(limits: Limits, files: Path) -> ProcessSession:
    """Start a session.

    Raises:
        SandboxError: the guest did not start or could not confine itself.
    """
    python = interpreter()
    folder = folders.make()
    (folder / "files").symlink_to(files)
    rules = [(str(path), "read") for path in (python.library, *python.packages, *python.system)]
    rules += [(path, "read") for path in ("/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo")]
    rules += [("/dev/null", "device"), ("/dev/zero", "device")]
    rules += [("/dev/urandom", "read"), ("/dev/random", "read")]
    rules += [(str(files), "read"), (str(folder), "write")]
    launch = Launch(
        command=[str(python.executable), "-I", "-S", "-B", str(guest_file())],
        config={
            "folder": str(folder),
            "limits": limits.rlimits(),
            # The kernel counts all of the user's threads, not this session's alone.
            "count_tasks": True,
            "packages": [str(path) for path in python.packages],
            "rules": rules,
        },
        environment=environment(str(folder)),
        bpf=lambda pid: seccomp.program(platform.machine(), "shared", process=pid),
        folder=folder,
    )
    return ProcessSession("landlock", launch, limits, lambda: folders.remove(folder))


TIER = Tier("landlock", "Landlock + seccomp + limits", missing, open_session)
