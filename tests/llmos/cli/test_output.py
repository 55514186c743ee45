"""What the command line writes, and where."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from llmos.cli.output import log_to_file


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file that is always full")
def test_a_log_that_takes_no_more_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLMOS_HOME", str(tmp_path))
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "llmos.log").symlink_to("/dev/full")
    root = logging.getLogger("llmos")
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(logging, "raiseExceptions", True)
    log_to_file()
    try:
        raise ValueError("something")
    except ValueError:
        logging.getLogger("llmos.test").exception("it failed")
    for handler in root.handlers:
        monkeypatch.setattr(handler, "stream", None, raising=False)  # its close would fail as well
    told = capfd.readouterr()
    assert told.out == "" and told.err == ""
