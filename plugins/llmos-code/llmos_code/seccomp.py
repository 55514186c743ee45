"""The system-call filter of the Linux tiers, as a classic BPF program.

An allow list: what a Python interpreter needs to compute, read and write its own files. What is
not named fails with EPERM, so the code is told and goes on. No socket can be made (only an
unnamed stream pair, which asyncio needs for its own wake-ups), no process started, no other
process signalled, traced or limited, no namespace made, nothing mounted.

Two profiles. ``contained`` is for bubblewrap, where namespaces hide everything else; it must let
bubblewrap's last ``execve`` through. ``shared`` is for Landlock, which leaves some paths to
other files open (mode, owner, times, truncation by path): those calls are refused there.
"""

from __future__ import annotations

import errno
import struct
from typing import Literal

from llmos_code.syscalls import MACHINES

Profile = Literal["contained", "shared"]

_LOAD, _JUMP_EQUAL, _JUMP_BITS, _RETURN, _AND = 0x20, 0x15, 0x45, 0x06, 0x54
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16
_X32_BIT = 0x40000000
_CLONE_THREAD = 0x00010000
_AF_UNIX, _SOCK_STREAM = 1, 1


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_PLAIN = _words("""
read readv pread64 preadv write writev pwrite64 pwritev close close_range lseek open openat creat
stat lstat fstat newfstatat statx statfs fstatfs access faccessat faccessat2 getdents getdents64
getcwd chdir fchdir readlink readlinkat mkdir mkdirat rmdir unlink unlinkat rename renameat
renameat2 symlink symlinkat ftruncate fallocate fsync fdatasync flock copy_file_range sendfile
fadvise64 umask mmap mprotect munmap mremap brk madvise msync mincore rt_sigaction rt_sigprocmask
rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack pause alarm getitimer setitimer
pipe pipe2 dup dup2 dup3 select pselect6 poll ppoll epoll_create epoll_create1 epoll_ctl epoll_wait
epoll_pwait eventfd2 timerfd_create timerfd_settime timerfd_gettime recvfrom shutdown getsockopt
getsockname getpeername nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time times
getpid gettid getppid getuid geteuid getgid getegid getgroups getresuid getresgid getpgrp uname
sysinfo getrusage getrlimit setrlimit sched_yield sched_getaffinity sched_get_priority_max
sched_get_priority_min getcpu futex set_robust_list set_tid_address rseq arch_prctl membarrier
restart_syscall exit exit_group wait4 waitid getrandom
""")

#: Harmless only where every other file is out of sight.
_CONTAINED_ONLY = _words("execve chmod fchmod fchmodat utime utimes futimesat utimensat truncate")

#: Refused in the way that callers expect and handle.
_REFUSED = {
    "clone3": errno.ENOSYS,  # libc then takes clone, whose flags can be looked at
    "listxattr": errno.ENOTSUP,  # shutil then copies without them
    "llistxattr": errno.ENOTSUP,
    "flistxattr": errno.ENOTSUP,
    "getxattr": errno.ENOTSUP,
    "lgetxattr": errno.ENOTSUP,
    "fgetxattr": errno.ENOTSUP,
}

#: isatty, window size, non-blocking, close-on-exec, bytes waiting.
_IOCTLS = (0x5401, 0x5413, 0x5421, 0x5450, 0x5451, 0x541B)
#: Duplicate, flags, locks: everything but who gets a descriptor's signals, leases and notices.
_FCNTLS = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1031, 1032)
#: A thread's own name.
_PRCTLS = (15, 16)


def _instruction(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value & 0xFFFFFFFF)


def _argument(index: int, high: bool = False) -> bytes:
    """Load the low (or high) half of an argument; both machines are little-endian."""
    return _instruction(_LOAD, _ARGUMENTS + 8 * index + (4 if high else 0))


_PERMIT = _instruction(_RETURN, _ALLOW)
_REFUSE = _instruction(_RETURN, _ERRNO | errno.EPERM)


def _one_of(index: int, values: tuple[int, ...]) -> bytes:
    """Allow when the argument's low half is one of the values, else refuse."""
    checks = b"".join(_instruction(_JUMP_EQUAL, value, 0, 1) + _PERMIT for value in values)
    return _argument(index) + checks + _REFUSE


def _conditional(process: int | None) -> dict[str, bytes]:
    """Calls that depend on their arguments: what is run when the number matches."""
    null_address = (
        _argument(4)
        + _instruction(_JUMP_EQUAL, 0, 0, 3)
        + _argument(4, high=True)
        + _instruction(_JUMP_EQUAL, 0, 0, 1)
        + _PERMIT
        + _REFUSE
    )
    unnamed_pair = (
        _argument(0)
        + _instruction(_JUMP_EQUAL, _AF_UNIX, 0, 4)
        + _argument(1)
        + _instruction(_AND, 0xF)
        + _instruction(_JUMP_EQUAL, _SOCK_STREAM, 0, 1)
        + _PERMIT
        + _REFUSE
    )
    thread_only = _argument(0) + _instruction(_JUMP_BITS, _CLONE_THREAD, 0, 1) + _PERMIT + _REFUSE
    rules = {
        "sendto": null_address,
        "socketpair": unnamed_pair,
        "clone": thread_only,
        "ioctl": _one_of(1, _IOCTLS),
        "fcntl": _one_of(1, _FCNTLS),
        "prctl": _one_of(0, _PRCTLS),
        "prlimit64": _one_of(0, (0,)),
    }
    if process is not None:
        rules["kill"] = _one_of(0, (process,))
        rules["tgkill"] = _one_of(0, (process,))
    return rules


def program(machine: str, profile: Profile, process: int | None = None) -> bytes:
    """The filter, as an array of ``struct sock_filter``.

    Args:
        machine: as ``platform.machine()`` gives it.
        profile: what surrounds the filter.
        process: number of the process that will run under it, the only one that it may signal;
            None lets it signal none.

    Raises:
        LookupError: the machine's call numbers are not known.
    """
    if machine not in MACHINES:
        raise LookupError(f"no system-call table for {machine}")
    arch, numbers = MACHINES[machine]
    allowed = [*_PLAIN, *(_CONTAINED_ONLY if profile == "contained" else ())]
    parts = [
        _instruction(_LOAD, _ARCH),
        _instruction(_JUMP_EQUAL, arch, 1, 0),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, _NUMBER),
        _instruction(_JUMP_BITS, _X32_BIT, 0, 1),
        _instruction(_RETURN, _KILL),
    ]
    for name in allowed:
        if name in numbers:
            parts += [_instruction(_JUMP_EQUAL, numbers[name], 0, 1), _PERMIT]
    for name, error in _REFUSED.items():
        if name in numbers:
            parts += [
                _instruction(_JUMP_EQUAL, numbers[name], 0, 1),
                _instruction(_RETURN, _ERRNO | error),
            ]
    for name, body in _conditional(process).items():
        if name in numbers:
            parts += [_instruction(_JUMP_EQUAL, numbers[name], 0, len(body) // 8), body]
    parts.append(_REFUSE)
    return b"".join(parts)
