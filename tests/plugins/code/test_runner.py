"""Sessions of chats: idle ones end, what is left of a killed program is swept up."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from llmos_code import folders
from llmos_code import runner as module
from llmos_code.limits import Limits
from llmos_code.runner import Runner
from llmos_code.tiers import TIERS, Tiers

pytestmark = pytest.mark.skipif(
    all(tier.missing() for tier in TIERS), reason="this machine has no sandbox at all"
)


def test_idle_sessions_end_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.3)
    runner = Runner(tmp_path, Limits(), Tiers())
    assert runner.run("x = 5\nx", "chat").value == "5"
    desk = runner._desks["chat"]
    for _ in range(100):
        if desk.session is None:
            break
        time.sleep(0.1)
    assert desk.session is None
    assert "NameError" in runner.run("x", "chat").error
    runner.close()


def test_a_used_session_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 30.0)
    runner = Runner(tmp_path, Limits(), Tiers())
    runner.run("x = 5", "chat")
    runner._end_idle()
    assert runner.run("x", "chat").value == "5"
    runner.close()


def test_what_a_killed_program_left_is_swept_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = tmp_path / f"llmos-code-{gone.pid}-abc"
    (left / "sub").mkdir(parents=True)
    other = tmp_path / "llmos-code-notes"
    other.mkdir()
    folders._swept.cache_clear()
    made = folders.make()
    assert made.is_dir() and not left.exists() and other.is_dir()
    folders.remove(made)
