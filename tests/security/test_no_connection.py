"""Offline means that no socket leaves the machine: looked at from outside, native code included."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from llmos.bench.random_gguf import TINY, write_random_gguf
from tests.helpers.require import require

#: A connection to anything but a Unix socket, or a datagram with an internet address (a sandbox asks
#: the machine's own kernel over netlink).
_OUTSIDE = re.compile(
    r"^\d*\s*(?:connect\(.*sa_family=AF_(?!UNIX|UNSPEC)|send(?:to|msg|mmsg)\(.*sa_family=AF_INET)"
)


def connections(
    argv: list[str], trace: Path, **environment: str
) -> tuple[subprocess.CompletedProcess[bytes], list[str]]:
    """Run a program under strace; returns how it ended and every attempt to reach outside."""
    require("strace")
    calls = "trace=connect,sendto,sendmsg,sendmmsg"
    done = subprocess.run(
        ["strace", "-f", "-qq", "-s", "64", "-e", calls, "-o", str(trace), *argv],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=150,
        env={**os.environ, **environment},
    )
    lines = trace.read_text(errors="replace").splitlines()
    return done, [line for line in lines if _OUTSIDE.search(line)]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_gguf(tmp_path_factory.mktemp("models") / "tiny.gguf", TINY)


def llmos(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from llmos.cli.main import main; main()", *arguments]


def test_a_question_reaches_nothing_outside(tiny: Path, tmp_path: Path) -> None:
    argv = llmos("ask", "--model", str(tiny), "--max-tokens", "3", "hello")
    done, outside = connections(argv, tmp_path / "trace", LLMOS_OFFLINE="1")
    assert done.returncode == 0, done.stderr.decode()
    assert outside == []


@pytest.mark.parametrize("command", [("doctor",), ("models", "list"), ("plugins", "list")])
def test_commands_reach_nothing_outside(command: tuple[str, ...], tmp_path: Path) -> None:
    done, outside = connections(llmos(*command), tmp_path / "trace", LLMOS_OFFLINE="1")
    assert b"Traceback" not in done.stderr
    assert outside == []


def test_fetching_a_model_is_refused_before_any_connection(tmp_path: Path) -> None:
    done, outside = connections(
        llmos("models", "pull", "someone/something"), tmp_path / "trace", LLMOS_OFFLINE="1"
    )
    assert done.returncode != 0 and done.stderr.strip()
    assert b"Traceback" not in done.stderr
    assert outside == []


@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.create_connection(('127.0.0.1', 9), 1)",
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))",
    ],
)
def test_the_trace_sees_what_it_looks_for(code: str, tmp_path: Path) -> None:
    _, outside = connections([sys.executable, "-c", code], tmp_path / "trace")
    assert outside


@pytest.mark.soak
def test_the_terminal_face_reaches_nothing_outside(tiny: Path, tmp_path: Path) -> None:
    """Start the face in a pseudo-terminal, ask something, quit."""
    require("strace")
    import fcntl
    import pty
    import select
    import struct
    import termios
    import time

    trace = tmp_path / "trace"
    command = ["strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", str(trace), *llmos()]
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", LLMOS_OFFLINE="1", LLMOS_MODEL__NAME=str(tiny))
        os.execvp(command[0], command)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    drawn = bytearray()

    def watch(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if select.select([terminal], [], [], 0.2)[0]:
                try:
                    drawn.extend(os.read(terminal, 65_536))
                except OSError:
                    return

    watch(25)
    os.write(terminal, b"hello\r")
    watch(15)
    os.kill(pid, 15)
    watch(5)
    assert len(drawn) > 1_000
    assert [line for line in trace.read_text(errors="replace").splitlines() if _OUTSIDE.search(line)] == []
