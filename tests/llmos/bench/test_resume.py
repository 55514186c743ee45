from __future__ import annotations

import pytest

from llmos.bench.resume import run
from llmos.types import UserError


def test_a_small_run_gives_every_figure_and_the_same_answer() -> None:
    said: list[str] = []
    figures = {one.name: one for one in run("tiny", tokens=300, rounds=2, say=said.append)}
    assert len(figures) == 5
    assert figures["greedy continuation identical, tiny"].value == 1
    assert figures["prefill to resume, 300 tokens, tiny"].target == ">= 20"
    assert figures["state on disk, tiny"].value > 0.05
    assert any("round 2" in line for line in said)


@pytest.mark.parametrize("options", [{"shapes": "70B"}, {"shapes": ","}, {"tokens": 3}, {"rounds": 0}])
def test_what_it_cannot_run_is_said(options: dict[str, object]) -> None:
    with pytest.raises(UserError):
        run(**options)  # type: ignore[arg-type]
