"""Which sandbox this machine has: each tier is tried for real, the strongest that holds is taken.

Fail closed: a tier counts only when a session has started, has computed, and has been refused a
socket, a process and a file of this machine. When none holds, no code runs.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from llmos_code import bubblewrap, landlock, monty, seatbelt
from llmos_code.limits import Limits, SandboxError, Session, Tier

#: Strongest first.
TIERS: tuple[Tier, ...] = (bubblewrap.TIER, landlock.TIER, seatbelt.TIER, monty.TIER)

#: Each line must be refused; the canary's path is put in. A line that works prints its name.
_PROBE = """
def attempt(name, code):
    try:
        exec(code, {{}})
    except BaseException:
        return
    print("OPEN", name)

attempt("read a file outside", "open({canary!r}).read()")
attempt("write a file outside", "open({beside!r}, 'w').write('x')")
attempt("make a TCP socket", "import socket; socket.socket()")
attempt("make a UDP socket", "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)")
attempt("make a Unix socket", "import socket; socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)")
attempt("start a process", "import os; os._exit(0) if os.fork() == 0 else None")
print("held", 6 * 7)
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """What the probe found of a tier: ``problem`` is empty when it holds."""

    tier: Tier
    problem: str


def probe(tier: Tier) -> Finding:
    """Try a tier on this machine."""
    problem = tier.missing()
    if problem:
        return Finding(tier, problem)
    with tempfile.TemporaryDirectory(prefix="llmos-probe-") as name:
        folder = Path(name)
        files = folder / "files"
        files.mkdir()
        canary = folder / "canary"
        canary.write_text("canary", encoding="utf-8")
        code = _PROBE.format(canary=str(canary), beside=str(folder / "written"))
        try:
            session = tier.open(Limits(), files)
        except SandboxError as error:
            return Finding(tier, f"it does not work here: {error}")
        try:
            result = session.run(code, seconds=10.0)
        finally:
            session.close()
        if (folder / "written").exists():
            return Finding(tier, "it let code write a file outside")
    if result.error or not result.output.endswith("held 42\n"):
        return Finding(tier, f"its test run failed: {(result.error or result.output).splitlines()[-1:]}")
    opened = [line[5:] for line in result.output.splitlines() if line.startswith("OPEN ")]
    return Finding(tier, f"it let code {opened[0]}" if opened else "")


class Tiers:
    """The probe's findings, made once, and the tier to use.

    Args:
        wanted: name of a tier, or ``auto`` for the strongest that holds.
    """

    def __init__(self, wanted: str = "auto", tiers: tuple[Tier, ...] = TIERS) -> None:
        self._wanted = wanted
        self._tiers = tiers
        self._lock = threading.Lock()
        self._findings: dict[str, Finding] = {}

    def finding(self, tier: Tier) -> Finding:
        """What was found of a tier; probed at the first call."""
        with self._lock:
            if tier.name not in self._findings:
                self._findings[tier.name] = probe(tier)
            return self._findings[tier.name]

    def choose(self) -> Tier:
        """The tier to run code in.

        Raises:
            SandboxError: none holds; the text says why, for each, and what to do.
        """
        tried = []
        for tier in self._tiers:
            if self._wanted not in ("auto", tier.name):
                continue
            finding = self.finding(tier)
            if not finding.problem:
                return tier
            tried.append(f"{tier.name}: {finding.problem}")
        if not tried:
            names = ", ".join(tier.name for tier in self._tiers)
            raise SandboxError(
                f"No code is run: there is no sandbox named {self._wanted} (there are: {names})."
            )
        remedy = "install bubblewrap" if sys.platform == "linux" else "install pydantic-monty"
        raise SandboxError(
            f"No code is run, for no sandbox holds on this machine ({'; '.join(tried)}): {remedy}."
            if self._wanted == "auto"
            else f"No code is run: the sandbox {tried[0]}; set the plugin's setting tier to auto."
        )

    def known(self) -> Tier | None:
        """The chosen tier when the probe has been made, else None; never probes, never waits."""
        for tier in self._tiers:
            found = self._findings.get(tier.name)
            if found is not None and not found.problem and self._wanted in ("auto", tier.name):
                return tier
        return None

    def all(self) -> list[Finding]:
        """Findings of every tier, probing those not yet tried."""
        return [self.finding(tier) for tier in self._tiers]


def open_session(tiers: Tiers, limits: Limits, files: Path) -> Session:
    """A session in the chosen tier.

    Raises:
        SandboxError: no tier holds, or the session did not start.
    """
    return tiers.choose().open(limits, files)
