"""Attempts to get out, from ``escapes.toml``, in every tier that this machine has."""

from __future__ import annotations

import dataclasses
import platform
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from llmos_code.limits import Limits, Session, Tier

from tests.plugins.code.conftest import SECRET, Outside

CASES: list[dict[str, Any]] = tomllib.loads(
    Path(__file__).with_name("escapes.toml").read_text(encoding="utf-8")
)["case"]

#: One system call by its number; the numbers of x86_64 and aarch64 are the first two arguments.
_CALL = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
result = libc.syscall(*[ctypes.c_long(n) for n in ({numbers},)])
if result >= 0:
    print("ESCAPED", result)
raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
"""

LIMITS = Limits(seconds=8.0, memory_mb=512, file_mb=4, disk_mb=16)


def _code(case: dict[str, Any]) -> str:
    if "code" in case:
        return str(case["code"])
    x86, arm, *arguments = case["call"]
    number = x86 if platform.machine() == "x86_64" else arm
    return _CALL.format(numbers=", ".join([str(number), *arguments]))


def test_enough_cases() -> None:
    names = [case["name"] for case in CASES]
    assert len(names) == len(set(names))
    assert len(names) >= 100


#: Cases of these areas leave the session as it was, so they share one.
_SHARED = {"files", "links", "handed files", "devices", "proc", "sockets", "signals", "other processes"}
_SHARED |= {"rights", "namespaces", "kernel"}


class Sessions:
    """One session a tier for the quick cases, a new one when it was lost."""

    def __init__(self) -> None:
        self.open: dict[str, Session] = {}

    def get(self, tier: Tier, handed: Path) -> Session:
        session = self.open.get(tier.name)
        if session is None or not session.alive:
            session = self.open[tier.name] = tier.open(LIMITS, handed)
        return session


@pytest.fixture(scope="module")
def sessions() -> Iterator[Sessions]:
    opened = Sessions()
    yield opened
    for session in opened.open.values():
        session.close()


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_no_way_out(case: dict[str, Any], tier: Tier, outside: Outside, sessions: Sessions) -> None:
    if case.get("machine", platform.machine()) != platform.machine():
        pytest.skip(f"for {case['machine']}")
    code = outside.fill(_code(case))
    if case["area"] in _SHARED:
        result = sessions.get(tier, outside.handed).run(code, seconds=LIMITS.seconds)
    else:
        limits = dataclasses.replace(LIMITS, seconds=case.get("seconds", LIMITS.seconds))
        session = tier.open(limits, outside.handed)
        try:
            result = session.run(code, seconds=limits.seconds)
        finally:
            session.close()
    said = f"{result.output}\n{result.value}\n{result.error}\n{result.tables}"
    assert "ESCAPED" not in result.output + result.value, said
    assert SECRET not in said
    assert result.error, f"it was not told: {said}"
    assert result.seconds < LIMITS.seconds + 3
    outside.unharmed()
