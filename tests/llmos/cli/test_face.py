from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llmos.bench.random_gguf import write_random_gguf
from llmos.cli import face
from llmos.conversation.store import Store
from llmos.settings import folders
from llmos.types import Message, UserError

#: As ``make`` does: it leads the session, keeps the hang-up to itself, and waits for its child.
PARENT = """
import fcntl, signal, subprocess, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGHUP, lambda *_: None)
sys.exit(subprocess.call(sys.argv[1:]))
"""
LEAVES_ALTERNATE_SCREEN = b"\x1b[?1049l"


def read_until(master: int, wanted: bytes, seconds: float = 60.0) -> bytes:
    """What the terminal was sent, up to and with ``wanted`` (or the end)."""
    seen = b""
    end = time.monotonic() + seconds
    while wanted not in seen and time.monotonic() < end:
        if select.select([master], [], [], 0.2)[0]:
            try:
                seen += os.read(master, 65_536)
            except OSError:  # the other side is closed
                break
    return seen


def test_a_signal_ends_the_face_in_order(tmp_path: Path) -> None:
    model = write_random_gguf(tmp_path / "m.gguf")
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "llmos.cli.main", "--model", str(model), "--safe-mode"],
        stdin=slave,
        stdout=slave,
        stderr=slave,  # the face draws there
        start_new_session=True,
        env={**os.environ, "TERM": "xterm-256color"},
    )
    os.close(slave)
    try:
        assert b"Ask anything" in read_until(master, b"Ask anything")
        process.send_signal(signal.SIGTERM)
        seen = read_until(master, LEAVES_ALTERNATE_SCREEN)
        assert LEAVES_ALTERNATE_SCREEN in seen
        assert process.wait(timeout=60) == 128 + signal.SIGTERM
        assert b"Traceback" not in seen + read_until(master, b"Traceback", 1.0)
    finally:
        process.kill()
        os.close(master)


@pytest.mark.skipif(sys.platform != "linux", reason="the end of a terminal is told in other ways elsewhere")
def test_a_closed_terminal_ends_the_face_below_make(tmp_path: Path) -> None:
    model = write_random_gguf(tmp_path / "m.gguf")
    master, slave = pty.openpty()
    face_command = [sys.executable, "-m", "llmos.cli.main", "--model", str(model), "--safe-mode"]
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, *face_command],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm-256color"},
    )
    os.close(slave)
    try:
        seen = read_until(master, b"Ask anything")
        os.close(master)
        assert b"Ask anything" in seen
        assert parent.wait(timeout=60) == 128 + signal.SIGHUP
    finally:
        if parent.poll() is None:
            os.killpg(parent.pid, signal.SIGKILL)


def test_the_chat_that_the_command_line_asks_for() -> None:
    assert face._chat_id("", True) == ""
    store = Store(folders().make().store_file)
    chat = store.create_chat("Tides")
    store.add_message(Message("user", "x", chat_id=chat.id))
    store.close()
    assert face._chat_id("tides", False) == chat.id
    assert face._chat_id("", True) == chat.id
    with pytest.raises(UserError, match="No chat is called"):
        face._chat_id("nothing", False)
