"""The offline switch, and keeping whole processes off the network.

The switch itself lies below every layer that makes network clients (``llmos.offline``). This
module adds what the operating system can enforce on a process that runs somebody else's code.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import struct
import sys
from collections.abc import Sequence

from llmos.offline import (
    OfflineError,
    apply_environment,
    async_http_client,
    checked_addresses,
    forbidden_address,
    http_client,
    is_offline,
    require_online,
    set_offline,
)
from llmos.types import UserError

__all__ = [
    "OfflineError",
    "apply_environment",
    "async_http_client",
    "can_forbid_network",
    "checked_addresses",
    "forbid_network",
    "forbidden_address",
    "http_client",
    "is_offline",
    "no_network_argv",
    "no_network_preexec",
    "require_online",
    "set_offline",
]

_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22
_SECCOMP_SET_MODE_FILTER = 1
_SECCOMP_FILTER_FLAG_TSYNC = 1
_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_EACCES = 13
_AF_UNIX = 1

#: Architecture: its audit number, seccomp, the calls that make sockets, calls that are refused
#: because they reach sockets another way (io_uring, taking a descriptor or memory of another process).
_MACHINES: dict[str, tuple[int, int, tuple[int, ...], tuple[int, ...]]] = {
    "x86_64": (0xC000003E, 317, (41, 53), (425, 438, 101, 310, 311)),
    "aarch64": (0xC00000B7, 277, (198, 199), (425, 438, 117, 270, 271)),
}

#: Calls of the x32 table on x86_64 have this bit; they would slip past a comparison of numbers.
_X32 = 0x40000000


def can_forbid_network() -> bool:
    """Whether this system lets a process be kept off the network."""
    if platform.system() == "Linux":
        return platform.machine() in _MACHINES and sys.maxsize > 2**32
    return platform.system() == "Darwin" and shutil.which("sandbox-exec") is not None


def forbid_network() -> None:
    """Take the network from this process and all that it starts, for good (Linux).

    Every socket but a Unix one fails with ``PermissionError`` from then on, for native code too.
    Sockets that are open already stay open, so call it first.

    Raises:
        UserError: this system cannot do it; do not run the foreign code then.
    """
    if platform.system() != "Linux" or not can_forbid_network():
        raise UserError("This system cannot keep a process off the network from within.")
    libc = ctypes.CDLL(None, use_errno=True)
    code = _program()
    buffer = ctypes.create_string_buffer(code, len(code))
    # struct sock_fprog: unsigned short length, pointer to the filter, with the gap of alignment.
    head = ctypes.create_string_buffer(struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer)))
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise UserError(f"The network could not be taken away ({os.strerror(ctypes.get_errno())}).")
    seccomp = _MACHINES[platform.machine()][1]
    # All threads of the process at once; where that is not possible, at least this one.
    if libc.syscall(seccomp, _SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC, head) == 0:
        return
    if libc.prctl(_PR_SET_SECCOMP, 2, head, 0, 0) != 0:
        raise UserError(f"The network could not be taken away ({os.strerror(ctypes.get_errno())}).")


#: For ``subprocess``: ``preexec_fn=no_network_preexec``. In a program with threads prefer
#: ``no_network_argv``, or call ``forbid_network`` as the first thing in the child.
no_network_preexec = forbid_network


def no_network_argv(argv: Sequence[str]) -> list[str]:
    """A command line that runs ``argv`` without network.

    Args:
        argv: program and arguments.

    Raises:
        UserError: this system cannot do it.
    """
    if not can_forbid_network():
        raise UserError("This system cannot keep a process off the network.")
    if platform.system() == "Darwin":
        return ["sandbox-exec", "-p", "(version 1)(allow default)(deny network*)", *argv]
    return [sys.executable, "-m", "llmos.guard.no_network", *argv]


def _program() -> bytes:
    """The filter: sockets of the family AF_UNIX only."""
    arch, _, sockets, refused = _MACHINES[platform.machine()]
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06
    deny = _ERRNO | _EACCES
    code = [
        (load, 0, 0, 4),  # architecture
        (equal, 1, 0, arch),
        (give, 0, 0, deny),
        (load, 0, 0, 0),  # number of the call
    ]
    if arch == _MACHINES["x86_64"][0]:
        code += [(at_least, 0, 1, _X32), (give, 0, 0, deny)]
    for number in refused:
        code += [(equal, 0, 1, number), (give, 0, 0, deny)]
    for number in sockets:
        # Low half of the first argument: the kernel itself reads no more of the family.
        code += [
            (equal, 0, 4, number),
            (load, 0, 0, 16),
            (equal, 1, 0, _AF_UNIX),
            (give, 0, 0, deny),
            (give, 0, 0, _ALLOW),
        ]
    code.append((give, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)
