"""Held-out questions with checkable answers for ``llmos bench reason``.

Of every five items two are sums and differences of new pairs of numbers, two of a range that no
training item holds, and one is a word problem of two steps. Their seed is not that of the
foundry's own evaluation, so nothing was ever chosen by them.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

#: What items are of, in the order in which they take turns.
KINDS = ("new pairs", "new range", "new pairs", "new range", "word problems")


@dataclass(frozen=True, slots=True)
class Item:
    """A question with its true answer.

    Attributes:
        system: the system prompt that goes before it.
        question: as a person would ask it.
        answer: the number that is right.
        kind: out of ``KINDS``.
    """

    system: str
    question: str
    answer: str
    kind: str


def make_items(count: int, seed: int = 5) -> list[Item]:
    """The first ``count`` items of a seed; a longer list begins with the same ones."""
    from llmos.foundry.tasks.arithmetic import sum_by_steps, word_problem
    from llmos.foundry.tasks.base import Split

    makers = {
        "new pairs": (sum_by_steps, Split.NAMES),
        "new range": (sum_by_steps, Split.RELATIONS),
        "word problems": (word_problem, Split.NAMES),
    }
    sources = {kind: random.Random(f"reasoning-{kind}-{seed}") for kind in makers}
    items = []
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        make, split = makers[kind]
        made = make(sources[kind], split)
        items.append(Item(made.system, made.turns[0].content, made.answer, kind))
    return items
