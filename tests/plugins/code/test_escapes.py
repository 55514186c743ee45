"""Attempts to get out, from ``escapes.toml``, in every tier that this machine has."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from llmos_code.escapes import SECRET, Attempt, Outside, Trials, attempts, outside
from llmos_code.limits import RunResult, Tier
from llmos_code.tiers import TIERS

ATTEMPTS = attempts()


@pytest.fixture(scope="module")
def trials(tier: Tier, outside: Outside) -> Iterator[Trials]:
    opened = Trials(tier, outside)
    yield opened
    opened.close()


def test_enough_attempts() -> None:
    names = [attempt.name for attempt in ATTEMPTS]
    assert len(names) == len(set(names))
    assert len(names) >= 120


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=[attempt.name for attempt in ATTEMPTS])
def test_no_way_out(attempt: Attempt, trials: Trials) -> None:
    if not attempt.here:
        pytest.skip("not for this machine")
    assert trials.verdict(attempt, trials.run(attempt)) == ""


class TestTheTrialsThemselves:
    """A trial that cannot fail would prove nothing."""

    @pytest.mark.parametrize(
        ("result", "said"),
        [
            (RunResult(output="ESCAPED 7\n", error="x"), "got out"),
            (RunResult(value=f"'{SECRET}'"), "got out"),
            (RunResult(error=f"KeyError: {SECRET}"), "got out"),
            (RunResult(output="all quiet"), "not told"),
            (RunResult(error="x", seconds=60.0), "ran for"),
        ],
    )
    def test_a_bad_result_is_noticed(self, result: RunResult, said: str) -> None:
        with outside() as place:
            assert said in Trials(TIERS[0], place).verdict(ATTEMPTS[0], result)

    def test_harm_is_noticed(self) -> None:
        told = RunResult(error="x")
        with outside() as place:
            trials = Trials(TIERS[0], place)
            assert trials.verdict(ATTEMPTS[0], told) == ""
            (place.home / "planted").touch()
            assert "made or removed" in trials.verdict(ATTEMPTS[0], told)
            (place.home / "planted").unlink()
            place.canary.write_text("other")
            assert "changed" in trials.verdict(ATTEMPTS[0], told)
        with outside() as place:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
                out.sendto(b"x", ("127.0.0.1", place.udp))
            for _ in range(200):
                if place.reached:
                    break
                time.sleep(0.01)
            assert "UDP" in place.harm()
            place.victim.kill()
            place.victim.wait()
            assert "another process" in place.harm()
