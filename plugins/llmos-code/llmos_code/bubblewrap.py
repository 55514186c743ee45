"""The strongest tier: bubblewrap's namespaces, a system-call filter and resource limits.

The code sees the interpreter and the system's libraries read-only, the handed files read-only
and ``/work``, which lives in memory and is limited in size. There is no ``/proc``, no home folder, no
network interface, no other process and no user namespace to be made.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import select
import shutil
import sys
from pathlib import Path

from llmos_code import seccomp
from llmos_code.interpreter import environment, interpreter
from llmos_code.limits import Limits, SandboxError, Tier
from llmos_code.process import Launch, ProcessSession, guest_file
from llmos_code.syscalls import MACHINES


def missing() -> str:
    """Why bubblewrap cannot be tried here, or empty."""
    if sys.platform != "linux":
        return "it exists on Linux only"
    if shutil.which("bwrap") is None:
        return "the program bwrap is not installed (package bubblewrap)"
    if platform.machine() not in MACHINES:
        return f"no system-call filter for {platform.machine()}"
    return ""


def _arguments(limits: Limits, files: Path) -> tuple[list[str], list[str]]:
    """Bubblewrap's arguments and the command inside, without the descriptors."""
    python = interpreter()
    inside = "/opt/python/bin/" + python.executable.name
    library = "/opt/python/lib" if python.whole else f"/opt/python/lib/{python.library.name}"
    arguments = [
        *("--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"),
        *("--unshare-cgroup-try", "--as-pid-1", "--die-with-parent", "--new-session"),
        *("--uid", "65534", "--gid", "65534", "--hostname", "sandbox", "--cap-drop", "ALL"),
        "--clearenv",
    ]
    for name, value in environment("/work").items():
        arguments += ["--setenv", name, value]
    for folder in python.system:
        if folder.is_symlink():
            arguments += ["--symlink", os.readlink(folder), str(folder)]
        else:
            arguments += ["--ro-bind", str(folder), str(folder)]
    for extra in ("/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo"):
        arguments += ["--ro-bind-try", extra, extra]
    arguments += ["--ro-bind", str(python.executable), inside, "--ro-bind", str(python.library), library]
    if not python.whole:
        shared = python.executable.parent.parent / "lib"
        for found in sorted(shared.glob("libpython3*.so*")):
            arguments += ["--ro-bind", str(found), f"/opt/python/lib/{found.name}"]
    if python.whole or python.executable.parent.parent != Path("/usr"):
        arguments += ["--setenv", "LD_LIBRARY_PATH", "/opt/python/lib"]
    for number, folder in enumerate(python.packages):
        arguments += ["--ro-bind", str(folder), f"/opt/packages{number}"]
    arguments += ["--ro-bind", str(guest_file()), "/opt/guest.pyc"]
    for device in ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random"):
        arguments += ["--dev-bind", device, device]
    arguments += ["--size", str(limits.disk_mb * 1024 * 1024), "--tmpfs", "/work"]
    arguments += ["--ro-bind", str(files), "/work/files"]
    # The root itself is a small writable tmpfs of bubblewrap's: close it too.
    arguments += ["--remount-ro", "/"]
    return arguments, [inside, "-I", "-S", "-B", "/opt/guest.pyc"]


def _pid_reader(descriptor: int) -> int | None:
    """The interpreter's process id on this machine, from bubblewrap's information pipe."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        ready, _, _ = select.select([descriptor], [], [], 2.0)
        if ready:
            return int(json.loads(os.read(descriptor, 4096))["child-pid"])
    return None


def open_session(limits: Limits, files: Path) -> ProcessSession:
    """Start a session.

    Raises:
        SandboxError: bubblewrap or the guest did not start.
    """
    program = shutil.which("bwrap")
    if program is None:
        raise SandboxError("the program bwrap is not installed")
    arguments, command = _arguments(limits, files)
    info_read, info_write = os.pipe()
    bpf_read, bpf_write = os.pipe()
    # The program is smaller than a pipe's buffer, so this cannot block.
    os.write(bpf_write, seccomp.program(platform.machine(), "contained", process=1))
    os.close(bpf_write)
    pids: list[int] = []

    def opened() -> None:
        os.close(bpf_read)
        os.close(info_write)

    def guest_pid() -> int | None:
        if not pids:
            found = _pid_reader(info_read)
            if found is not None:
                pids.append(found)
        return pids[0] if pids else None

    def cleanup() -> None:
        with contextlib.suppress(OSError):
            os.close(info_read)

    launch = Launch(
        command=[
            program,
            *arguments,
            *("--seccomp", str(bpf_read), "--info-fd", str(info_write), "--"),
            *command,
        ],
        config={
            "folder": "/work",
            "limits": limits.rlimits(),
            "count_tasks": False,
            "packages": [f"/opt/packages{n}" for n in range(len(interpreter().packages))],
            "rules": [],
        },
        environment={"PATH": os.environ.get("PATH", "/usr/bin:/bin")},
        pass_fds=(bpf_read, info_write),
        opened=opened,
        guest_pid=guest_pid,
    )
    return ProcessSession("bubblewrap", launch, limits, cleanup)


TIER = Tier("bubblewrap", "bubblewrap + seccomp + limits", missing, open_session)
