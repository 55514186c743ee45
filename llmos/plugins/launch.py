"""Starting and ending a plugin's own process, without network where its manifest declares none."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from pathlib import Path

#: Words in names of environment variables that a foreign process has no business with.
_SECRET = ("TOKEN", "SECRET", "PASSWORD", "_KEY", "CREDENTIAL")


async def launch(
    folder: Path, *, network: bool
) -> tuple[asyncio.subprocess.Process, asyncio.StreamReader, asyncio.StreamWriter, bool]:
    """Start the runner with one end of a socket pair.

    Args:
        folder: its working directory, the plugin's own data folder.
        network: False takes the network from it where the system can.

    Returns:
        The process, both directions of the pipe, and whether the process must itself give up the
        network (the first frame tells it so).
    """
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-P", "-m", "llmos.plugins.process_runner", str(theirs.fileno())]
    inside = False
    if not network:
        from llmos.guard.offline import can_forbid_network, no_network_argv

        inside = sys.platform == "linux" and can_forbid_network()
        if not inside and can_forbid_network():
            command = no_network_argv(command)
    environment = {
        key: value for key, value in os.environ.items() if not any(word in key.upper() for word in _SECRET)
    }
    environment["MALLOC_ARENA_MAX"] = "2"  # each further arena would count against the memory limit
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=[theirs.fileno()],
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()
    reader, writer = await asyncio.open_connection(sock=ours)
    return process, reader, writer, inside


def kill_group(process: asyncio.subprocess.Process) -> None:
    """End a process and everything that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
