"""Every test has folders of its own and leaves the environment as it found it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "llmos",
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("llmos")


@pytest.fixture(autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Point ``LLMOS_HOME`` to a fresh folder; put the environment and the offline switch back afterwards."""
    before = dict(os.environ)
    home = tmp_path_factory.mktemp("home")
    os.environ["LLMOS_HOME"] = str(home)
    for name in list(os.environ):
        if name.startswith("LLMOS_") and name not in {"LLMOS_HOME", "LLMOS_REQUIRE"}:
            del os.environ[name]
    yield home
    switch = sys.modules.get("llmos.offline")
    if switch is not None:  # a session that was opened offline turns the switch of the whole process
        switch.set_offline(None)
    os.environ.clear()
    os.environ.update(before)
