"""The tally: votes over normalised answers, and the rule that says when it is decided.

Self-consistency (Wang et al. 2022, arXiv 2203.11171) takes the majority of N samples; adaptive
consistency (Aggarwal et al. 2023, arXiv 2305.11860) stops early: with a votes for the leader and b
for the runner-up, the chance that the leader is ahead for good is that of Beta(a + 1, b + 1) being
over one half.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field


def leader_confidence(leader: int, runner_up: int) -> float:
    """P(p > 1/2) for p ~ Beta(leader + 1, runner_up + 1); exact, by the binomial tail."""
    n = leader + runner_up + 1
    below: float = sum(math.comb(n, k) for k in range(leader + 1, n + 1)) / 2**n
    return 1.0 - below


@dataclass(frozen=True, slots=True)
class Try:
    """One sample: its text, thoughts, normalised answer, tokens and mean log-probability."""

    text: str
    thinking: str
    key: str
    tokens: int
    mean_logprob: float


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
    def votes(self) -> list[tuple[str, int]]:
        """(answer, votes), most first; an equal count goes to the better mean log-probability."""
        counts = Counter(one.key for one in self.tries if one.key)
        best = {key: max(one.mean_logprob for one in self.tries if one.key == key) for key in counts}
        return sorted(counts.items(), key=lambda item: (-item[1], -best[item[0]], item[0]))

    @property
    def confidence(self) -> float:
        """How sure the vote is; 0.0 without votes."""
        votes = self.votes
        if not votes:
            return 0.0
        return leader_confidence(votes[0][1], votes[1][1] if len(votes) > 1 else 0)

    @property
    def decided(self) -> bool:
        """True when more tries would hardly change the answer."""
        return len(self.tries) >= self.least and self.confidence >= self.threshold

    @property
    def tokens(self) -> int:
        """Tokens of all tries."""
        return sum(one.tokens for one in self.tries)

    def winner(self) -> tuple[Try, str] | None:
        """The try to answer with and how it was chosen: ``vote`` or ``mean log-probability``."""
        if not self.tries:
            return None
        votes = self.votes
        # Mostly free text cannot be counted: then the model's own likelihood chooses.
        if votes and sum(count for _, count in votes) * 2 >= len(self.tries):
            mine = [one for one in self.tries if one.key == votes[0][0]]
            return max(mine, key=lambda one: one.mean_logprob), "vote"
        return max(self.tries, key=lambda one: one.mean_logprob), "mean log-probability"
