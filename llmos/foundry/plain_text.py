"""Generated text for pre-training: the tasks as plain text, without turns or special tokens.

A base model that has never seen a page followed by a question does not learn to copy from it in
the short fine-tuning that follows; so about a third of the base text is of this kind.
"""

from __future__ import annotations

import random

from llmos.foundry.tasks import arithmetic, pages
from llmos.foundry.tasks.base import Conversation, Split, made_up

_INTRODUCTIONS = ("", "Notes:\n", "Read this.\n\n", "From the files:\n\n", "Pages:\n")


def _as_text(conversation: Conversation) -> str:
    asked, answered = conversation.turns[0].content, conversation.turns[1]
    working = f"{answered.thinking}\n" if answered.thinking else ""
    return f"{asked}\n{working}Answer: {answered.content}"


def _copying(rng: random.Random) -> str:
    """Lists of names that are repeated: the plainest practice of copying."""
    kind = rng.choice(("person", "place", "thing"))
    names = [made_up(rng, kind, Split.TRAIN) for _ in range(rng.randrange(3, 9))]
    listed = ", ".join(names)
    style = rng.randrange(4)
    if style == 0:
        return f"The names are {listed}. Once more, the names are {listed}."
    if style == 1:
        numbers = [str(rng.randrange(10, 10000)) for _ in names]
        rows = [f"{n}: {v}" for n, v in zip(names, numbers, strict=True)]
        again = rng.sample(rows, len(rows))
        return "\n".join(rows) + "\n\n" + "\n".join(again)
    if style == 2:
        first = made_up(rng, "person", Split.TRAIN)
        return f'{first} said: "{listed}." Then {first} said it again: "{listed}."'
    where = [made_up(rng, "place", Split.TRAIN) for _ in names]
    rows = [f"{n} lives in {p}." for n, p in zip(names, where, strict=True)]
    again = rng.sample(rows, len(rows))
    return " ".join(rows) + "\n\nAgain: " + " ".join(again)


def _facts(rng: random.Random) -> str:
    """Two notes on the same made-up subjects; the second repeats the first in other order."""
    book = pages.Notebook(rng, Split.TRAIN, rng.randrange(1, 4), 3)
    said = [pages.canonical(r, s, v) for r, s, v, _ in book.facts]
    rng.shuffle(said)
    return "\n\n".join(book.pages) + "\n\nIn short: " + " ".join(said)


def generated_document(rng: random.Random) -> str:
    """One generated passage of base text."""
    roll = rng.random()
    if roll < 0.38:
        return rng.choice(_INTRODUCTIONS) + _as_text(pages.answer_from_pages(rng, Split.TRAIN))
    if roll < 0.46:
        return rng.choice(_INTRODUCTIONS) + _as_text(pages.absent_from_pages(rng, Split.TRAIN))
    if roll < 0.56:
        return _facts(rng)
    if roll < 0.72:
        return _copying(rng)
    if roll < 0.90:
        return "\n\n".join(
            _as_text(arithmetic.sum_by_steps(rng, Split.TRAIN)) for _ in range(rng.randrange(1, 4))
        )
    if roll < 0.96:
        return arithmetic.drill(rng, Split.TRAIN).turns[1].content
    return _as_text(arithmetic.word_problem(rng, Split.TRAIN))
