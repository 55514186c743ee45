"""The face's benchmark: its parts can be chosen, and each probe that it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from llmos.bench import startup
from llmos.tui.probes import PROBES
from llmos.types import UserError


def test_an_unknown_part_is_refused_before_anything_is_measured() -> None:
    with pytest.raises(UserError, match=r"no part 'colour'.*paint, key"):
        startup.run(parts="paint,colour")


def test_every_probe_that_is_asked_for_exists() -> None:
    source = Path(startup.__file__).read_text(encoding="utf-8")
    assert set(re.findall(r'probe\("(\w+)"', source)) == set(PROBES)


def test_a_part_is_measured_and_told(tmp_path: Path) -> None:
    values = startup.probe("minimal", str(tmp_path))
    assert 0.01 < values["seconds"] < 60


def test_a_probe_that_fails_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="measurement nothing failed"):
        startup.probe("nothing", str(tmp_path))
