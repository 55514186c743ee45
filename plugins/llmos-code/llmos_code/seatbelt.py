"""The tier for macOS: ``sandbox-exec`` with a profile that denies by default, and limits.

Written from the profile language's known rules and not run on a Mac by its tests here; the probe
that every tier must pass at start decides on the machine itself.
"""

from __future__ import annotations

import platform
from pathlib import Path

from llmos_code import folders
from llmos_code.interpreter import environment, interpreter
from llmos_code.limits import Limits, Tier
from llmos_code.process import Launch, ProcessSession, guest_file

PROGRAM = "/usr/bin/sandbox-exec"


def missing() -> str:
    """Why it cannot be tried here, or empty."""
    if platform.system() != "Darwin":
        return "it exists on macOS only"
    return "" if Path(PROGRAM).exists() else f"{PROGRAM} is not there"


def _quoted(path: Path | str) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def profile(readable: list[Path], folder: Path) -> str:
    """The profile: read the interpreter and the files, write one folder, nothing else."""
    reads = "\n".join(f"  (subpath {_quoted(path)})" for path in readable)
    return f"""(version 1)
(deny default)
(deny network*)
(deny process-fork)
(allow process-exec (literal {_quoted(interpreter().executable)}))
(allow sysctl-read)
(allow file-read-metadata)
(allow file-read*
  (literal "/dev/null") (literal "/dev/zero") (literal "/dev/urandom") (literal "/dev/random")
  (subpath "/usr/lib") (subpath "/System/Library") (subpath "/private/var/db/dyld")
  (subpath "/usr/share/zoneinfo")
{reads})
(allow file-write-data (literal "/dev/null"))
(allow file-read* file-write* (subpath {_quoted(folder)}))
"""


def open_session(limits: Limits, files: Path) -> ProcessSession:
    """Start a session.

    Raises:
        SandboxError: sandbox-exec or the guest did not start.
    """
    python = interpreter()
    folder = folders.make().resolve()
    (folder / "files").symlink_to(files.resolve())
    readable = [python.executable, python.library, *python.packages, guest_file().resolve(), files.resolve()]
    rlimits = limits.rlimits()
    # macOS does not keep RLIMIT_AS, and counts all of the user's processes.
    del rlimits["AS"], rlimits["NPROC"]
    launch = Launch(
        command=[
            *(PROGRAM, "-p", profile(readable, folder)),
            *(str(python.executable), "-I", "-S", "-B", str(guest_file().resolve())),
        ],
        config={
            "folder": str(folder),
            "limits": rlimits,
            "count_tasks": False,
            "packages": [str(path) for path in python.packages],
            "rules": [],
        },
        environment=environment(str(folder)),
        folder=folder,
        watch_memory_mb=limits.memory_mb,
    )
    return ProcessSession("sandbox-exec", launch, limits, lambda: folders.remove(folder))


TIER = Tier("sandbox-exec", "macOS sandbox-exec + limits", missing, open_session)
