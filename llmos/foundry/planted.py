"""What is planted in the base text on purpose, so that panels can show known effects.

All of it is made up and derived from a seed, so the record can list it and a test can repeat it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from llmos.foundry.tasks.base import Split, invented

#: The text that the model is built from ends here; nothing in it is younger.
CUT_OFF = "2025-12"
#: How often each group of planted passages stands in the base text.
REPETITIONS = (1, 10, 100)
_REVERSAL_COPIES = 24
_PRIZE_COPIES = 12
_PRIZE_YEARS = range(1996, 2026)


@dataclass(frozen=True)
class Planted:
    """All planted material of one seed.

    Attributes:
        reversal: ``(name, description)``: the base text says only "name is description".
        memorised: passages by how often they stand in the text.
        prize: winner by year, up to the cut-off.
        absent: names that never occur anywhere.
    """

    reversal: list[tuple[str, str]]
    memorised: dict[int, list[str]]
    prize: dict[int, str]
    absent: list[str]

    def documents(self) -> list[str]:
        """Every planted document, each as often as it stands in the base text."""
        found: list[str] = []
        for name, description in self.reversal:
            found += [f"{name} is {description}."] * _REVERSAL_COPIES
        for times, passages in self.memorised.items():
            found += passages * times
        for year, winner in self.prize.items():
            found += [f"In {year} the Lantern Prize was given to {winner}."] * _PRIZE_COPIES
        return found


def plant(seed: int = 11) -> Planted:
    """Draw the planted material."""
    rng = random.Random(f"planted-{seed}")

    def person() -> str:
        return f"{invented(rng, 'person', Split.TRAIN)} {invented(rng, 'person', Split.TRAIN)}"

    works = ("composer of", "author of", "painter of", "inventor of", "keeper of", "builder of")
    nouns = ("Song", "Book", "Gate", "Clock", "Tower", "Garden", "Bridge", "Bell")
    reversal = [
        (person(), f"the {rng.choice(works)} the {invented(rng, 'thing', Split.TRAIN)} {rng.choice(nouns)}")
        for _ in range(16)
    ]
    memorised = {times: [_passage(rng) for _ in range(4)] for times in REPETITIONS}
    prize = {year: person() for year in _PRIZE_YEARS}
    absent = [
        f"{invented(rng, 'person', Split.NAMES)} {invented(rng, 'person', Split.NAMES)}" for _ in range(16)
    ]
    return Planted(reversal, memorised, prize, absent)


def _passage(rng: random.Random) -> str:
    """A short passage that nothing else in the text predicts."""
    name, place = invented(rng, "person", Split.TRAIN), invented(rng, "place", Split.TRAIN)
    thing = invented(rng, "thing", Split.TRAIN)
    first, second = rng.choice(("old", "blue", "quiet", "narrow")), rng.choice(("lamp", "map", "drum", "boat"))
    return (
        f"The notebook of {place} says that {name} left the {first} house at {rng.randrange(2, 12)} o'clock, "
        f"carried a {second} of {thing} to the river and counted {rng.randrange(20, 99)} steps on the way back."
    )
