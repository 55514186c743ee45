"""Skip a test whose outside tool is missing, or fail it where the tool is required."""

from __future__ import annotations

import importlib.util
import os
import shutil

import pytest

_PROGRAMS = {"bwrap": "bwrap", "strace": "strace", "chromium": "chromium"}


def available(name: str) -> bool:
    """Whether a program or module of that name is on this machine."""
    if name in _PROGRAMS:
        return shutil.which(_PROGRAMS[name]) is not None
    return importlib.util.find_spec(name) is not None


def require(name: str) -> None:
    """Skip the running test when ``name`` is missing; fail it when ``LLMOS_REQUIRE`` lists it."""
    if available(name):
        return
    if name in os.environ.get("LLMOS_REQUIRE", "").split(","):
        pytest.fail(f"{name} is required by LLMOS_REQUIRE and is missing")
    pytest.skip(f"{name} is not on this machine")
