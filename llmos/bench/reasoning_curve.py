"""Replays kept samples: single tries, majority votes and the adaptive rule, with intervals.

Seconds of a question are its tokens at the pace that was measured for one question at a time, so
that every point of the curve is of the same samples and of the same machine.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from llmos.bench.reasoning_items import Item
from llmos.bench.reasoning_samples import CUTS, Sample, Samples
from llmos.stages.statistics import wilson

#: Numbers of tries of the fixed vote.
VOTES = (2, 4, 8, 16, 32)
#: Seconds that are allowed to the adaptive vote.
ALLOWED = (1.0, 3.0, 10.0, 30.0)
#: Share of the time after which a vote is handed out, as the plugin does.
_HAND_OUT = 0.95
#: Most tries of a vote with time, as in the plugin.
MOST_TRIES = 128


@dataclass(frozen=True, slots=True)
class Point:
    """One way of answering, over all items.

    Attributes:
        series: ``direct``, ``single``, ``majority``, ``adaptive`` or ``checked``.
        name: the way, in words.
        right: for each item whether its answer was right.
        seconds: mean seconds of a question.
        tokens: mean tokens of a question.
    """

    series: str
    name: str
    right: tuple[bool, ...]
    seconds: float
    tokens: float

    @property
    def share(self) -> float:
        """Share of right answers."""
        return sum(self.right) / max(1, len(self.right))

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95 % interval (Wilson)."""
        return wilson(sum(self.right), len(self.right))


@dataclass(slots=True)
class Outcome:
    """What a vote came to: the answer, tokens, seconds, tries."""

    key: str
    tokens: int
    seconds: float
    tries: int


@dataclass(slots=True)
class Replay:
    """Answers of complete items.

    Args:
        items: every item, in order.
        samples: what was taken.
        pace: from ``reasoning_samples.pace``.
        numbers: which items are complete.
        checks: for each item, verdicts of its tries as (verdict, decisive), where they were run.
    """

    items: Sequence[Item]
    samples: Samples
    pace: Mapping[str, float]
    numbers: Sequence[int]
    checks: Mapping[int, Sequence[tuple[str, bool]]] = field(default_factory=dict)

    def of_kind(self, kind: str) -> Replay:
        """The same for the items of one kind."""
        numbers = [number for number in self.numbers if self.items[number].kind == kind]
        return Replay(self.items, self.samples, self.pace, numbers, self.checks)

    def key(self, number: int, sample: Sample) -> str:
        """Normalised answer of a sample."""
        from llmos_reason.answers import key_of

        return key_of(sample.text, self.items[number].question)

    def vote(
        self, number: int, *, most: int, early: bool, allowed: float = 0.0, check: bool = False
    ) -> Outcome:
        """Replay a vote on the kept tries, in their order.

        Args:
            number: the item.
            most: most tries.
            early: stop when the vote is decided.
            allowed: seconds that it may take; 0.0 for no limit.
            check: let the checks of the tries count.
        """
        from llmos_reason.voting import Check, Tally, Try

        tally, seconds = Tally(), 0.0
        checks = self.checks.get(number, ())
        for at, sample in enumerate(self.samples.of(number, "tries")[:most]):
            step = sample.tokens / self.pace["several" if at else "one"]
            if allowed and at and seconds + step > _HAND_OUT * allowed:
                seconds = _HAND_OUT * allowed
                break
            seconds += step
            verdict, decisive = checks[at] if check and at < len(checks) else ("", False)
            found = Check(verdict, decisive)  # type: ignore[arg-type]
            key = self.key(number, sample)
            tally.add(Try(key, "", key, sample.tokens, sample.logprob, found))
            if early and tally.decided:
                break
        won = tally.winner()
        return Outcome(won[0].key if won else "", tally.tokens, seconds, len(tally.tries))

    # -- points --------------------------------------------------------------------------------

    def _right(self, keys: Sequence[str]) -> tuple[bool, ...]:
        return tuple(key == self.items[number].answer for number, key in zip(self.numbers, keys, strict=True))

    def _once(self, series: str, name: str, kind: str) -> Point:
        """One answer to each item; thoughts that are cut are closed in the cache where they stand."""
        made = [self.samples.of(number, kind)[0] for number in self.numbers]
        right = self._right([self.key(number, one) for number, one in zip(self.numbers, made, strict=True)])
        tokens = sum(one.tokens for one in made) / max(1, len(made))
        spent = self.pace["direct"] if kind == "direct" else tokens / self.pace["one"]
        return Point(series, name, right, spent, tokens)

    def voted(self, series: str, name: str, **how: object) -> Point:
        """A vote over every item; ``how`` as in ``vote``."""
        outcomes = [self.vote(number, **how) for number in self.numbers]  # type: ignore[arg-type]
        count = max(1, len(outcomes))
        return Point(
            series,
            name,
            self._right([one.key for one in outcomes]),
            sum(one.seconds for one in outcomes) / count,
            sum(one.tokens for one in outcomes) / count,
        )

    def direct(self) -> Point:
        """Answered at once."""
        return self._once("direct", "direct", "direct")

    def single(self) -> Point:
        """One try with whole thoughts."""
        return self._once("single", "one try, whole thoughts", "single")

    def cuts(self) -> list[Point]:
        """One try with its thoughts cut and closed."""
        return [self._once("single", f"one try, {cut} tokens of thought", f"cut{cut}") for cut in CUTS]

    def majorities(self, tries: int) -> list[Point]:
        """Fixed numbers of tries."""
        sizes = sorted({size for size in VOTES if size <= tries} | {tries})
        return [self.voted("majority", f"majority of {n}", most=n, early=False) for n in sizes if n > 1]

    def adaptive(self) -> list[Point]:
        """Stopped when decided or when the time is up."""
        return [
            self.voted("adaptive", f"adaptive, {s:g} s allowed", most=MOST_TRIES, early=True, allowed=s)
            for s in ALLOWED
        ]

    def checked(self) -> list[Point]:
        """The same with tries checked by running them; empty where none could be run."""
        if not self.checks:
            return []
        return [
            self.voted(
                "checked", f"checked, {s:g} s allowed", most=MOST_TRIES, early=True, allowed=s, check=True
            )
            for s in ALLOWED
        ]


def paired(better: Sequence[bool], worse: Sequence[bool], rounds: int = 2000) -> tuple[float, float, float]:
    """Difference of two shares on the same items with its 95 % interval, by paired bootstrap."""
    gaps = [int(a) - int(b) for a, b in zip(better, worse, strict=True)]
    if not gaps:
        return 0.0, 0.0, 0.0
    rng = random.Random(1)
    means = sorted(sum(rng.choices(gaps, k=len(gaps))) / len(gaps) for _ in range(rounds))
    return sum(gaps) / len(gaps), means[int(0.025 * rounds)], means[int(0.975 * rounds) - 1]


def undecided(item: Item, tries: Sequence[Sample]) -> bool:
    """Whether a vote over these tries is still open."""
    from llmos_reason.answers import key_of
    from llmos_reason.voting import Tally, Try

    tally = Tally()
    for one in tries:
        key = key_of(one.text, item.question)
        tally.add(Try(key, "", key, one.tokens, one.logprob))
        if tally.decided:
            return False
    return True
