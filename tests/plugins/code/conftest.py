"""The tiers of this machine, and a place outside for the code to aim at."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from llmos_code.tiers import TIERS, Tier, Tiers

SECRET = "the-secret-of-the-canary-7d1f"
_TIERS = Tiers()


@pytest.fixture(scope="session", params=[tier for tier in TIERS if not tier.missing()], ids=lambda t: t.name)
def tier(request: pytest.FixtureRequest) -> Tier:
    """Each tier that the machine has; ``test_tiers`` says which it has not."""
    chosen: Tier = request.param
    # It is there, so it must hold: a probe that fails here is a failure, not a skip.
    assert _TIERS.finding(chosen).problem == ""
    return chosen


@dataclass
class Outside:
    """What lies outside the sandbox, and what has reached it."""

    home: Path
    handed: Path
    canary: Path
    victim: subprocess.Popen[bytes]
    tcp: int
    udp: int
    unix: str
    abstract: str
    reached: list[str] = field(default_factory=list)

    def fill(self, text: str) -> str:
        """Put the places into a case's code."""
        values = {
            "CANARY": self.canary,
            "HOME": self.home,
            "VICTIM": self.victim.pid,
            "TCP": self.tcp,
            "UDP": self.udp,
            "UNIX": self.unix,
            "ABSTRACT": self.abstract,
            "HANDED": "files",
        }
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        return text

    def unharmed(self) -> None:
        """Fail when anything outside has changed."""
        assert self.reached == []
        assert self.victim.poll() is None
        assert self.canary.read_text() == SECRET
        assert os.stat(self.canary).st_mode & 0o777 == 0o644
        assert os.stat(self.canary).st_mtime == 1_000_000_000
        assert sorted(path.name for path in self.home.iterdir()) == ["canary", "socket"]
        assert sorted(path.name for path in self.handed.iterdir()) == ["data.txt"]
        assert (self.handed / "data.txt").read_text() == "handed in"


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    """A folder, a process and servers that must stay untouched."""
    home = tmp_path_factory.mktemp("home")
    handed = tmp_path_factory.mktemp("handed")
    canary = home / "canary"
    canary.write_text(SECRET)
    canary.chmod(0o644)
    os.utime(canary, (1_000_000_000, 1_000_000_000))
    (handed / "data.txt").write_text("handed in")
    (handed / "data.txt").chmod(0o444)
    os.environ["LLMOS_TEST_SECRET"] = SECRET
    victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    reached: list[str] = []
    with contextlib.ExitStack() as stack:
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        unix = stack.enter_context(socket.socket(socket.AF_UNIX))
        # A socket's path must be short.
        short = Path("/tmp") / f"llmos-{os.getpid()}.sock"
        unix.bind(str(short))
        (home / "socket").symlink_to(short)
        unix.listen()
        name = f"llmos-test-{os.getpid()}"
        abstract = stack.enter_context(socket.socket(socket.AF_UNIX))
        if sys.platform == "linux":
            abstract.bind(f"\0{name}")
            abstract.listen()

        def watch(what: str, server: socket.socket) -> None:
            with contextlib.suppress(OSError):
                server.recv(10) if what == "udp" else server.accept()
                reached.append(what)

        servers = [("tcp", tcp), ("udp", udp), ("unix", unix)]
        for what, server in servers + ([("abstract", abstract)] if sys.platform == "linux" else []):
            threading.Thread(target=watch, args=(what, server), daemon=True).start()
        place = Outside(
            home,
            handed,
            canary,
            victim,
            tcp.getsockname()[1],
            udp.getsockname()[1],
            str(home / "socket"),
            name,
            reached,
        )
        yield place
        short.unlink(missing_ok=True)
    victim.kill()
    victim.wait()
    del os.environ["LLMOS_TEST_SECRET"]
