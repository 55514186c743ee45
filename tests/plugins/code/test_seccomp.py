"""The filter, run by a small interpreter of classic BPF: both machines, both profiles."""

from __future__ import annotations

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmos_code import seccomp
from llmos_code.syscalls import MACHINES

ALLOW, KILL = "allow", "kill"
PROFILES: list[seccomp.Profile] = ["contained", "shared"]


def decide(
    machine: str, profile: seccomp.Profile, number: int, *arguments: int, arch: int | None = None
) -> object:
    """What the kernel would do: ``allow``, ``kill`` or an errno."""
    code = seccomp.program(machine, profile, process=77)
    program = [struct.unpack("=HBBI", code[i : i + 8]) for i in range(0, len(code), 8)]
    given_arguments = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    asked = MACHINES[machine][0] if arch is None else arch
    data = struct.pack("=IIQ6Q", number, asked, 0, *[a & (1 << 64) - 1 for a in given_arguments])
    accumulator, at = 0, 0
    while True:
        operation, yes, no, value = program[at]
        at += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif operation == 0x54:
            accumulator &= value
        elif operation == 0x15:
            at += yes if accumulator == value else no
        elif operation == 0x45:
            at += yes if accumulator & value else no
        elif operation == 0x06:
            if value == 0x7FFF0000:
                return ALLOW
            return KILL if value == 0x80000000 else value & 0xFFFF
        else:
            raise AssertionError(f"unknown instruction {operation:#x}")


@pytest.fixture(params=sorted(MACHINES))
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("profile", PROFILES)
@given(number=st.integers(0, 600), arguments=st.lists(st.integers(0, 2**64 - 1), max_size=6))
def test_what_is_not_named_is_refused(profile: seccomp.Profile, number: int, arguments: list[int]) -> None:
    for machine in MACHINES:
        if number not in MACHINES[machine][1].values():
            assert decide(machine, profile, number, *arguments) == errno.EPERM


@pytest.mark.parametrize("profile", PROFILES)
def test_other_architectures_are_killed(machine: str, profile: seccomp.Profile) -> None:
    assert decide(machine, profile, 0, arch=0x40000003) == KILL
    assert decide(machine, profile, 0x40000000 | 41) == KILL


@pytest.mark.parametrize("profile", PROFILES)
def test_arguments_decide(machine: str, profile: seccomp.Profile) -> None:
    numbers = MACHINES[machine][1]

    def ask(name: str, *arguments: int) -> object:
        return decide(machine, profile, numbers[name], *arguments)

    assert ask("read") == ALLOW
    assert ask("clone", 0x00010000 | 0x100) == ALLOW
    assert ask("clone", 17) == errno.EPERM
    assert ask("clone", 0x10000000) == errno.EPERM
    assert ask("clone3") == errno.ENOSYS
    assert ask("socketpair", 1, 1 | 0o4000, 0) == ALLOW
    assert ask("socketpair", 1, 2, 0) == errno.EPERM
    assert ask("socketpair", 2, 1, 0) == errno.EPERM
    assert ask("sendto", 5, 0, 0, 0, 0, 0) == ALLOW
    assert ask("sendto", 5, 0, 0, 0, 1, 16) == errno.EPERM
    assert ask("sendto", 5, 0, 0, 0, 1 << 32, 16) == errno.EPERM
    assert ask("kill", 77, 15) == ALLOW
    assert ask("kill", 78, 15) == errno.EPERM
    assert ask("kill", 2**64 - 1, 15) == errno.EPERM
    assert ask("prlimit64", 0, 9) == ALLOW
    assert ask("prlimit64", 78, 9) == errno.EPERM
    assert ask("ioctl", 0, 0x5401) == ALLOW
    assert ask("ioctl", 0, 0x5412) == errno.EPERM
    assert ask("fcntl", 3, 4) == ALLOW
    assert ask("fcntl", 3, 8) == errno.EPERM
    assert ask("prctl", 15) == ALLOW
    assert ask("prctl", 1) == errno.EPERM


def test_paths_to_others_are_closed_where_they_can_be_seen(machine: str) -> None:
    for name in ("execve", "fchmodat", "utimensat", "truncate"):
        number = MACHINES[machine][1][name]
        assert decide(machine, "contained", number) == ALLOW
        assert decide(machine, "shared", number) == errno.EPERM


def test_an_unknown_machine_has_no_filter() -> None:
    with pytest.raises(LookupError, match="riscv64"):
        seccomp.program("riscv64", "contained")


def test_it_fits_the_kernels_limits(machine: str) -> None:
    for profile in PROFILES:
        size = len(seccomp.program(machine, profile, 1))
        assert size % 8 == 0 and size // 8 <= 4096
        assert size < 65536  # a pipe's buffer
