"""Which of several completions a model holds likeliest, and where the right one ranks among them."""

from __future__ import annotations

from collections.abc import Sequence

from llmos.kernel.protocol import Kernel


async def log_probabilities(kernel: Kernel, beginning: str, completions: Sequence[str]) -> list[float]:
    """Natural log of each completion's probability after a beginning.

    Args:
        kernel: usually of a base model.
        beginning: text before it.
        completions: each with its leading space.
    """
    before = await kernel.tokenize(beginning, bos=True)
    found = []
    for completion in completions:
        tokens = await kernel.tokenize(beginning + completion, bos=True)
        start = len(before) if tokens[: len(before)] == before else 1
        found.append(sum((await kernel.score(tokens, start=max(1, start)))[max(1, start) :]))
    return found


def ranks_of(table: Sequence[Sequence[float]]) -> list[int]:
    """Rank of the right completion of every prompt, 1 where it is the likeliest; equals share the worse rank.

    A completion that is likely after every prompt (a short or frequent name) would win everywhere, so
    each one's mean over the prompts is taken off first: what is ranked is how much the prompt helps it.

    Args:
        table: log-probabilities [prompts, completions]; the right one of prompt i is completion i. Where
            the user stopped early there are fewer prompts; of a single one nothing can be said.
    """
    if len(table) < 2:
        return []
    means = [sum(column) / len(table) for column in zip(*table, strict=True)]
    found = []
    for right, row in enumerate(table):
        helped = [value - mean for value, mean in zip(row, means, strict=True)]
        found.append(sum(value >= helped[right] for value in helped))
    return found


def mean_rank(ranks: Sequence[int]) -> float:
    """Mean of ranks; 0 of none."""
    return sum(ranks) / len(ranks) if ranks else 0.0
