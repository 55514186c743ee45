"""The line of the first run names a model that fits this machine, and the keys that fetch it."""

from __future__ import annotations

import pytest

from llmos.catalog import machine
from llmos.catalog.machine import Machine
from llmos.tui.real_backend import larger_model
from llmos.tui.tabs import TABS

GIB = 1 << 30


@pytest.mark.parametrize(("gib", "named"), [(32, True), (1, False)])
def test_the_line_follows_the_machine(monkeypatch: pytest.MonkeyPatch, gib: int, named: bool) -> None:
    size = gib * GIB if named else GIB // 4
    monkeypatch.setattr(machine, "this_machine", lambda bandwidth=False: Machine(size, size, 4, 50e9))
    line = larger_model()
    assert bool(line) is named
    if named:
        assert "fits this machine" in line and "GB" in line
        assert "Alt+3" in line and TABS[2].id == "models"
