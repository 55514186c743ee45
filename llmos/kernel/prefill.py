"""Which pieces of which prompts one step reads.

A step has room for so many prompt tokens. All prompts that are being read share it: were they read one
after the other, each answer would begin a step after the one before it even where next to nothing is
left to read, and a short question would wait for the whole of a long document.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llmos.kernel.batch import Row
from llmos.kernel.jobs import Job
from llmos.kernel.sequences import SequenceTable, common_prefix

#: Prompt tokens in one step: alone, and beside lanes that decode.
CHUNK_ALONE = 128
CHUNK_BESIDE = 64

#: Where the larger chunk would take longer (seconds), the smaller one is used: a stop is obeyed sooner.
SLOW_CHUNK = 1.0


def shared_out(left: Sequence[int], room: int) -> list[int]:
    """How many tokens of each prompt are read when there is room for ``room`` of them.

    The oldest prompt has half of the room for certain, so that none waits for ever; the rest goes to the
    prompts that end soonest, because their answers can begin soonest. Prompts of one length are read one
    after the other by this: the first would gain nothing from waiting for the last.

    Args:
        left: tokens that each prompt has left, the oldest first.
        room: tokens of this step.
    """
    given = [0] * len(left)
    if not left:
        return given
    given[0] = min(left[0], (room + 1) // 2)
    room -= given[0]
    for place in sorted(range(len(left)), key=lambda one: (left[one], one)):
        more = min(left[place] - given[place], room)
        given[place] += more
        room -= more
    return given


def reads_for(older: Job, job: Job) -> bool:
    """Whether an older job is about to read a beginning that this one can share and has not read itself."""
    shared = min(common_prefix(older.prompt, job.prompt), len(job.prompt) - 1)
    return older.done < shared and shared >= job.done + SequenceTable.WORTH_SHARING


@dataclass(frozen=True, slots=True)
class Piece:
    """The next tokens of one job's prompt.

    Attributes:
        job: whose.
        tokens: at least one.
    """

    job: Job
    tokens: list[int]

    def rows(self) -> list[Row]:
        """Rows of the batch; the last one has logits where the prompt ends with it."""
        assert self.job.slot is not None
        number, start = self.job.slot.number, self.job.done
        end = len(self.job.prompt) - 1
        return [(token, at, number, at == end) for at, token in enumerate(self.tokens, start)]


class Prefill:
    """Shares out each step's room, which depends on how quickly this model reads."""

    def __init__(self) -> None:
        self._pace = 0.0  # seconds a prompt token, of late

    def pieces(self, jobs: Sequence[Job], *, beside: bool) -> list[Piece]:
        """What this step reads.

        Args:
            jobs: whose prompts are not read yet, the oldest first.
            beside: whether lanes decode in the same step.
        """
        slow = self._pace * CHUNK_ALONE > SLOW_CHUNK
        given = shared_out(
            [len(job.prompt) - job.done for job in jobs], CHUNK_BESIDE if beside or slow else CHUNK_ALONE
        )
        return [
            Piece(job, job.prompt[job.done : job.done + count])
            for job, count in zip(jobs, given, strict=True)
            if count
        ]

    def took(self, tokens: int, seconds: float) -> None:
        """Note how long a step with so many prompt tokens took; few say nothing about the pace."""
        if tokens >= CHUNK_BESIDE:
            self._pace = seconds / tokens
