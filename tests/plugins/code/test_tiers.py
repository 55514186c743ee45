"""Which tier is taken; a tier that does not hold is found out; without one nothing runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from llmos_code import landlock, seatbelt
from llmos_code.interpreter import interpreter
from llmos_code.limits import Limits, SandboxError, Session, Tier
from llmos_code.process import Launch, ProcessSession, guest_file
from llmos_code.runner import Runner
from llmos_code.tiers import TIERS, Tiers, probe

from llmos.types import UserError


def _unconfined(limits: Limits, files: Path) -> Session:
    """A guest that is not confined at all, as a broken sandbox would leave it."""
    launch = Launch(
        command=[str(interpreter().executable), "-I", "-S", "-B", str(guest_file())],
        config={"folder": str(files), "limits": {}, "count_tasks": False, "packages": [], "rules": []},
        environment={},
    )
    return ProcessSession("open", launch, limits, lambda: None)


def _failing(limits: Limits, files: Path) -> Session:
    raise SandboxError("the kernel said no")


OPEN = Tier("open", "No sandbox", lambda: "", _unconfined)
FAILING = Tier("failing", "Fails to start", lambda: "", _failing)
ABSENT = Tier("absent", "Not here", lambda: "it is not installed", _failing)


@pytest.mark.parametrize("tier", TIERS, ids=lambda tier: tier.name)
def test_each_tier_holds_where_it_exists(tier: Tier) -> None:
    if tier.missing():
        pytest.skip(f"not tested here: {tier.missing()}")
    assert probe(tier).problem == ""


def test_a_sandbox_that_leaks_is_found_out() -> None:
    assert "read a file outside" in probe(OPEN).problem or "write a file" in probe(OPEN).problem


def test_without_a_tier_nothing_runs(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    runner = Runner(tmp_path / "data", Limits(), Tiers(tiers=(ABSENT, FAILING, OPEN)))
    with pytest.raises(UserError) as caught:
        runner.run(f"open({str(marker)!r}, 'w')")
    text = str(caught.value)
    assert text.startswith("No code is run")
    assert "it is not installed" in text and "the kernel said no" in text and "install" in text
    assert "\n" not in text
    assert not marker.exists()
    assert runner.status() in ("", "code: no sandbox")


def test_a_wanted_tier_that_is_missing_is_not_replaced(tmp_path: Path) -> None:
    works = next(tier for tier in TIERS if not tier.missing())
    runner = Runner(tmp_path, Limits(), Tiers("absent", tiers=(ABSENT, works)))
    with pytest.raises(UserError, match="absent: it is not installed"):
        runner.run("1")


def test_an_unknown_tier_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="no sandbox named docker"):
        Tiers("docker").choose()


def test_the_first_that_holds_is_taken() -> None:
    works = next(tier for tier in reversed(TIERS) if not tier.missing())
    assert Tiers(tiers=(ABSENT, OPEN, works)).choose() is works


def test_a_tier_that_fails_later_does_not_fall_back(tmp_path: Path) -> None:
    """Once chosen, a session that does not start is an error, never a weaker run."""
    works = next(tier for tier in TIERS if not tier.missing())
    calls = 0

    def once(limits: Limits, files: Path) -> Session:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise SandboxError("out of memory")
        return works.open(limits, files)

    runner = Runner(tmp_path, Limits(), Tiers(tiers=(Tier("once", "Works once", lambda: "", once), works)))
    with pytest.raises(UserError, match="did not start: out of memory"):
        runner.run("1")


def test_a_guest_that_cannot_confine_itself_runs_no_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if landlock.missing():
        pytest.skip(landlock.missing())
    # A filter that is no program: the kernel refuses it, and the guest must end.
    monkeypatch.setattr("llmos_code.seccomp.program", lambda *a, **k: b"\xff" * 16)
    with pytest.raises(SandboxError, match="filter was refused"):
        landlock.open_session(Limits(), tmp_path)


def test_the_profile_of_macos_denies_by_default(tmp_path: Path) -> None:
    text = seatbelt.profile([Path('/a "quoted" place')], tmp_path)
    assert text.index("(deny default)") < text.index("(allow")
    assert "(deny network*)" in text and "(deny process-fork)" in text
    assert '(subpath "/a \\"quoted\\" place")' in text
    # What may be written: its own folder and the null device.
    writes = [line for line in text.splitlines() if "file-write" in line]
    assert writes == [
        '(allow file-write-data (literal "/dev/null"))',
        f'(allow file-read* file-write* (subpath "{tmp_path}"))',
    ]


@pytest.mark.skipif(sys.platform == "darwin", reason="it is there on macOS")
def test_the_macos_tier_is_missing_elsewhere() -> None:
    assert seatbelt.missing() == "it exists on macOS only"
