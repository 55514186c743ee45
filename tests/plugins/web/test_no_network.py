"""Every path of the plugin in a network namespace with nothing in it: a sentence, never a hang."""

from __future__ import annotations

import pytest

from llmos.bench.web import without_network


def test_every_path_says_so() -> None:
    times = without_network()
    if not times:
        pytest.skip("this machine gives no network namespace")
    assert len(times) == 6
    # Not a measure of speed (`llmos bench web` is): only that nothing waits for a network to come.
    assert max(times.values()) < 10_000
