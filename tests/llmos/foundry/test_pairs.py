"""Preference pairs: two different answers to one prompt, the better one true, of every kind."""

import random
from collections import Counter

from llmos.foundry.pairs import KINDS, pair
from llmos.foundry.render import conversation_pieces, turn_pieces
from llmos.foundry.tasks.base import Split
from llmos.foundry.tasks.refuse import REFUSAL


def test_pairs_are_of_every_kind_and_never_tie() -> None:
    draw = random.Random(1)
    made = [pair(draw, Split.TRAIN) for _ in range(400)]
    kinds = Counter(p.kind for p in made)
    assert set(kinds) == set(KINDS) and min(kinds.values()) > 20
    for one in made:
        assert one.chosen != one.rejected
        assert one.conversation.turns[-1].role in ("user", "tool")
        text = "".join(piece for piece, _, _ in turn_pieces(one.chosen))
        assert text != "".join(piece for piece, _, _ in turn_pieces(one.rejected))
        assert conversation_pieces(one.conversation)
    assert any(p.chosen.content == REFUSAL for p in made)


def test_pairs_are_seeded() -> None:
    assert pair(random.Random(3)) == pair(random.Random(3))
