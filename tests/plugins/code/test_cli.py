"""``llmos code run`` in a shell: streams, exit codes, JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from llmos_code.tiers import TIERS

pytestmark = pytest.mark.skipif(
    all(tier.missing() for tier in TIERS), reason="this machine has no sandbox at all"
)


def llmos(tmp_path: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from llmos.cli.main import main; main()", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=90,
        env={**os.environ, "LLMOS_HOME": str(tmp_path)},
    )


def test_output_value_and_files(tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("1 2 3")
    code = "print('first')\nprint('last', end='')\nsum(map(int, open('files/data.txt').read().split()))"
    done = llmos(tmp_path, "code", "run", "--script", "-", "--file", str(tmp_path / "data.txt"), stdin=code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "first\nlast\n6\n", "")


def test_a_failure_goes_to_the_errors(tmp_path: Path) -> None:
    done = llmos(tmp_path, "code", "run", "print('before')\n1/0")
    assert done.returncode == 1 and done.stdout == "before\n"
    assert "ZeroDivisionError" in done.stderr


def test_json(tmp_path: Path) -> None:
    done = llmos(tmp_path, "code", "run", "print('hello')\n37 * 41", "--json")
    data = json.loads(done.stdout)
    assert data["output"] == "hello\n" and data["value"] == "1517" and data["ok"] is True
