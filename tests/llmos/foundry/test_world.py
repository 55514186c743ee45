"""Questions whose answers the model cannot know."""

from __future__ import annotations

import random

from llmos.foundry.tasks import refuse
from llmos.foundry.tasks.base import Split, phrases
from llmos.foundry.tasks.world import world_question


def test_they_are_many_and_filled_in() -> None:
    draw = random.Random(1)
    made = {world_question(draw) for _ in range(1000)}
    assert len(made) > 600
    assert not any("{" in q or "}" in q for q in made)


def test_training_shows_no_question_that_is_kept_for_testing() -> None:
    kept = {q.lower().rstrip("?.") for q in phrases(refuse._FACTS, Split.PHRASES)}
    draw = random.Random(2)
    shown = [refuse.not_known(draw, Split.TRAIN) for _ in range(3000)]
    assert not kept & {c.turns[0].content.lower().rstrip("?.") for c in shown}
    assert all(c.answer == refuse.UNKNOWN for c in shown)
