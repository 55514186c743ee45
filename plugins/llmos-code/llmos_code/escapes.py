"""Attempts to get out of a sandbox (``escapes.toml``), and a place outside for them to aim at.

The tests run them, and ``llmos bench code`` on the user's own machine.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import platform
import socket
import subprocess
import sys
import tempfile
import threading
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmos_code.limits import Limits, RunResult, Session, Tier

SECRET = "the-secret-of-the-canary-7d1f"
LIMITS = Limits(seconds=8.0, memory_mb=512, file_mb=4, disk_mb=16)
_VARIABLE = "LLMOS_TEST_SECRET"

#: One system call by its number.
_CALL = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
result = libc.syscall(*[ctypes.c_long(n) for n in ({numbers},)])
if result >= 0:
    print("ESCAPED", result)
raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
"""

#: Cases of these areas leave the session as it was, so they may share one.
_SHARED = {"files", "links", "handed files", "devices", "proc", "sockets", "signals", "other processes"}
_SHARED |= {"rights", "namespaces", "kernel"}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt.

    Attributes:
        code: with places between ``@`` still to be put in.
        seconds: limit of the run.
        shared: leaves the session as it was.
        here: whether it is meant for this machine.
    """

    name: str
    area: str
    code: str
    seconds: float
    shared: bool
    here: bool


def attempts() -> list[Attempt]:
    """Every attempt of the file."""
    text = Path(__file__).with_name("escapes.toml").read_text(encoding="utf-8")
    return [_attempt(entry) for entry in tomllib.loads(text)["case"]]


def _attempt(entry: dict[str, Any]) -> Attempt:
    if "code" in entry:
        code = str(entry["code"])
    else:  # the call's numbers on x86_64 and aarch64 come first
        x86, arm, *arguments = entry["call"]
        number = arm if platform.machine() == "aarch64" else x86
        code = _CALL.format(numbers=", ".join([str(number), *arguments]))
    return Attempt(
        entry["name"],
        entry["area"],
        code,
        float(entry.get("seconds", LIMITS.seconds)),
        entry["area"] in _SHARED,
        entry.get("machine", platform.machine()) == platform.machine(),
    )


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

    def fill(self, code: str) -> str:
        """Put the places into an attempt's code."""
        places = {
            "CANARY": self.canary,
            "HOME": self.home,
            "VICTIM": self.victim.pid,
            "TCP": self.tcp,
            "UDP": self.udp,
            "UNIX": self.unix,
            "ABSTRACT": self.abstract,
            "HANDED": "files",
        }
        for name, place in places.items():
            code = code.replace(f"@{name}@", str(place))
        return code

    def harm(self) -> str:
        """What has changed outside, or empty."""
        state = os.stat(self.canary)
        checks = {
            f"the code reached the {', '.join(self.reached)} server": not self.reached,
            "another process was ended": self.victim.poll() is None,
            "a file outside was changed": self.canary.read_text() == SECRET,
            "a file's mode was changed": state.st_mode & 0o777 == 0o644,
            "a file's times were changed": state.st_mtime == 1_000_000_000,
            "a file was made or removed outside": sorted(os.listdir(self.home)) == ["canary", "socket"],
            "a handed file was changed": sorted(os.listdir(self.handed)) == ["data.txt"]
            and (self.handed / "data.txt").read_text() == "handed in",
        }
        return "; ".join(what for what, fine in checks.items() if not fine)


@contextlib.contextmanager
def outside() -> Iterator[Outside]:
    """A folder, a process, servers and a variable that must stay untouched and unseen."""
    with contextlib.ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="llmos-outside-")))
        home, handed = root / "home", root / "handed"
        home.mkdir()
        handed.mkdir()
        canary = home / "canary"
        canary.write_text(SECRET)
        canary.chmod(0o644)
        os.utime(canary, (1_000_000_000, 1_000_000_000))
        (handed / "data.txt").write_text("handed in")
        (handed / "data.txt").chmod(0o444)
        os.environ[_VARIABLE] = SECRET
        stack.callback(os.environ.pop, _VARIABLE, None)
        victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(900)"])
        stack.callback(victim.wait)
        stack.callback(victim.kill)  # called first: the last one in is the first one out
        reached: list[str] = []
        servers: dict[str, socket.socket] = {
            "TCP": stack.enter_context(socket.create_server(("127.0.0.1", 0))),
            "UDP": stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)),
            "Unix": stack.enter_context(socket.socket(socket.AF_UNIX)),
        }
        servers["UDP"].bind(("127.0.0.1", 0))
        servers["Unix"].bind(str(home / "socket"))
        servers["Unix"].listen()
        name = f"llmos-outside-{root.name}"
        if sys.platform == "linux":
            servers["abstract Unix"] = stack.enter_context(socket.socket(socket.AF_UNIX))
            servers["abstract Unix"].bind(f"\0{name}")
            servers["abstract Unix"].listen()
        for what, server in servers.items():
            threading.Thread(target=_watch, args=(what, server, reached), daemon=True).start()
        ports = [int(servers[what].getsockname()[1]) for what in ("TCP", "UDP")]
        yield Outside(home, handed, canary, victim, ports[0], ports[1], str(home / "socket"), name, reached)


def _watch(what: str, server: socket.socket, reached: list[str]) -> None:
    """Note the first thing that reaches a server."""
    with contextlib.suppress(OSError):
        server.recv(10) if what == "UDP" else server.accept()
        reached.append(what)


class Trials:
    """Runs attempts in one tier; those that leave the session as it was share one."""

    def __init__(self, tier: Tier, place: Outside) -> None:
        self._tier = tier
        self._place = place
        self._session: Session | None = None

    def run(self, attempt: Attempt) -> RunResult:
        """Run one attempt."""
        code = self._place.fill(attempt.code)
        if attempt.shared:
            if self._session is None or not self._session.alive:
                self._session = self._tier.open(LIMITS, self._place.handed)
            return self._session.run(code, seconds=attempt.seconds)
        session = self._tier.open(dataclasses.replace(LIMITS, seconds=attempt.seconds), self._place.handed)
        try:
            return session.run(code, seconds=attempt.seconds)
        finally:
            session.close()

    def verdict(self, attempt: Attempt, result: RunResult) -> str:
        """What is wrong: it got out, it was not told, it was not stopped in time; or empty."""
        said = f"{result.output}\n{result.value}\n{result.error}\n{result.tables}"
        if "ESCAPED" in result.output + result.value or SECRET in said:
            return f"got out: {said.strip()[:200]}"
        harm = self._place.harm()
        if harm:
            return harm
        if not result.error:
            return f"it was not told: {said.strip()[:200]}"
        if result.seconds > LIMITS.seconds + 3:
            return f"it ran for {result.seconds:.1f} s"
        return ""

    def close(self) -> None:
        """End the shared session."""
        if self._session is not None:
            self._session.close()
