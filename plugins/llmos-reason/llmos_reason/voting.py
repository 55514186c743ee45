"""The tally: votes over normalised answers, and the rule that says when it is decided.

Self-consistency (Wang et al. 2022, arXiv 2203.11171) takes the majority of N samples; adaptive
consistency (Aggarwal et al. 2023, arXiv 2305.11860) stops early: with a votes for the leader and b
for the runner-up, the chance that the leader is ahead for good is that of Beta(a + 1, b + 1) being
over one half.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal


def leader_confidence(leader: int, runner_up: int) -> float:
    """P(p > 1/2) for p ~ Beta(leader + 1, runner_up + 1); exact, by the binomial tail."""
    n = leader + runner_up + 1
    below: float = sum(math.comb(n, k) for k in range(leader + 1, n + 1)) / 2**n
    return 1.0 - below


@dataclass(frozen=True, slots=True)
class Check:
    """What running a try's arithmetic or program says of its answer.

    Attributes:
        verdict: empty where nothing was or could be run.
        decisive: what was run is the question itself, so that one right answer is enough.
        shown: what was run, in a few words.
    """

    verdict: Literal["right", "wrong", ""] = ""
    decisive: bool = False
    shown: str = ""


@dataclass(frozen=True, slots=True)
class Try:
    """One sample: its text, thoughts, normalised answer, tokens, mean log-probability and check."""

    text: str
    thinking: str
    key: str
    tokens: int
    mean_logprob: float
    check: Check = Check()


@dataclass(slots=True)
class Tally:
    """All tries so far.

    Attributes:
        threshold: confidence at which the vote is decided.
        least: tries before which nothing is decided.
    """

    threshold: float = 0.95
    least: int = 3
    tries: list[Try] = field(default_factory=list)

    def add(self, one: Try) -> None:
        """Count a sample."""
        self.tries.append(one)

    @property
    def counted(self) -> list[Try]:
        """Tries that have a vote: those whose check held; where none did, those not found wrong."""
        right = [one for one in self.tries if one.check.verdict == "right"]
        return right or [one for one in self.tries if one.check.verdict != "wrong"] or self.tries

    @property
    def votes(self) -> list[tuple[str, int]]:
        """(answer, votes), most first; an equal count goes to the better mean log-probability."""
        return _ranked(self.counted)

    @property
    def all_votes(self) -> list[tuple[str, int, str]]:
        """(answer, votes, verdict of the check) of every answer, those that count first."""
        verdicts = {one.key: one.check.verdict for one in self.tries if one.check.verdict}
        first = [key for key, _ in self.votes]
        everything = dict(_ranked(self.tries))
        order = [*first, *(key for key in everything if key not in first)]
        return [(key, everything[key], verdicts.get(key, "")) for key in order]

    @property
    def confidence(self) -> float:
        """How sure the vote is.

        0.0 without votes or when every one was found wrong, 1.0 when the question itself was run and
        agrees.
        """
        votes = self.votes
        if not votes or all(one.check.verdict == "wrong" for one in self.tries):
            return 0.0
        if self._proved:
            return 1.0
        return leader_confidence(votes[0][1], votes[1][1] if len(votes) > 1 else 0)

    @property
    def _proved(self) -> bool:
        return any(one.check.decisive and one.check.verdict == "right" for one in self.tries)

    @property
    def decided(self) -> bool:
        """True when more tries would hardly change the answer."""
        return self._proved or (len(self.tries) >= self.least and self.confidence >= self.threshold)

    @property
    def tokens(self) -> int:
        """Tokens of all tries."""
        return sum(one.tokens for one in self.tries)

    def winner(self) -> tuple[Try, str] | None:
        """The try to answer with and how it was chosen.

        ``vote`` or ``mean log-probability``, with ``, checked by running`` where its check held and
        ``, none passed its check`` where every one that was checked failed.
        """
        if not self.tries:
            return None
        votes, counted = self.votes, self.counted
        # Mostly free text cannot be counted: then the model's own likelihood chooses.
        if votes and sum(count for _, count in votes) * 2 >= len(counted):
            mine = [one for one in counted if one.key == votes[0][0]]
            how = "vote"
        else:
            mine, how = counted, "mean log-probability"
        chosen = max(mine, key=lambda one: one.mean_logprob)
        note = {"right": ", checked by running", "wrong": ", none passed its check", "": ""}
        return chosen, how + note[chosen.check.verdict]


def _ranked(tries: Sequence[Try]) -> list[tuple[str, int]]:
    counts: Counter[str] = Counter()
    best: dict[str, float] = {}
    for one in tries:
        if one.key:
            counts[one.key] += 1
            best[one.key] = max(best.get(one.key, one.mean_logprob), one.mean_logprob)
    return sorted(counts.items(), key=lambda item: (-item[1], -best[item[0]], item[0]))
