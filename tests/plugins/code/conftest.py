"""The tiers of this machine, and a place outside for the code to aim at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from llmos_code.escapes import Outside
from llmos_code.escapes import outside as make_outside
from llmos_code.tiers import TIERS, Tier, Tiers

_TIERS = Tiers()


@pytest.fixture(scope="session", params=[tier for tier in TIERS if not tier.missing()], ids=lambda t: t.name)
def tier(request: pytest.FixtureRequest) -> Tier:
    """Each tier that the machine has; ``test_tiers`` says which it has not."""
    chosen: Tier = request.param
    # It is there, so it must hold: a probe that fails here is a failure, not a skip.
    assert _TIERS.finding(chosen).problem == ""
    return chosen


@pytest.fixture(scope="session")
def outside() -> Iterator[Outside]:
    """What must stay untouched."""
    with make_outside() as place:
        yield place
