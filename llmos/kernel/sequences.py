"""Which KV sequence holds which tokens: prefix reuse, forks, and freeing the least used.

A slot is one sequence id of llama.cpp. Every evaluated token gets a cell number; sequences that
share a prefix share the numbers, so the cells in use can be counted without asking llama.cpp.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


class Cache(Protocol):
    """What the table needs of the engine."""

    @property
    def partial_removal(self) -> bool:
        """Whether part of a sequence can be forgotten (false for recurrent models)."""
        ...

    def remove(self, sequence: int, start: int = 0, end: int = -1) -> bool:
        """Forget positions."""
        ...

    def copy(self, source: int, target: int, end: int = -1) -> None:
        """Share positions."""
        ...


@dataclass(slots=True)
class Slot:
    """One KV sequence.

    Attributes:
        number: sequence id in llama.cpp.
        name: what callers call it; empty when the slot is free.
        tokens: token ids evaluated so far, in order.
        cells: for each token the cell that holds it.
        busy: number of lanes that are using it.
        used: larger is more recent.
    """

    number: int
    name: str = ""
    tokens: list[int] = field(default_factory=list)
    cells: list[int] = field(default_factory=list)
    busy: int = 0
    used: int = 0


def common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """Number of leading items that agree."""
    count = min(len(first), len(second))
    if first[:count] == second[:count]:
        return count
    low, high = 0, count  # first[:low] agrees, first[:high] does not
    while high - low > 1:
        middle = (low + high) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle
    return low


class SequenceTable:
    """All slots of a context.

    Args:
        cache: the engine.
        slots: how many sequences the context has.
    """

    #: A prefix shorter than this is not worth copying from another sequence.
    WORTH_SHARING = 16

    def __init__(self, cache: Cache, slots: int) -> None:
        self._cache = cache
        self._slots = [Slot(number) for number in range(slots)]
        self._clock = itertools.count(1)
        self._cells = itertools.count()

    @property
    def shares_beginnings(self) -> bool:
        """Whether a sequence can take over the beginning of another one (false for recurrent models)."""
        return self._cache.partial_removal

    def find(self, name: str) -> Slot | None:
        """The slot of a name, or None."""
        return next((slot for slot in self._slots if slot.name == name), None) if name else None

    def named(self) -> list[Slot]:
        """Every slot that holds something, most recently used first."""
        return sorted((slot for slot in self._slots if slot.name), key=lambda slot: -slot.used)

    @property
    def cells_used(self) -> int:
        """Cells in use; a shared prefix counts once."""
        return len(set().union(*(slot.cells for slot in self._slots)))

    def touch(self, slot: Slot) -> None:
        """Mark as used just now."""
        slot.used = next(self._clock)

    def claim(self, name: str) -> Slot | None:
        """The slot of a name, a free one, or the least used idle one emptied; None when all are busy."""
        slot = self.find(name)
        if slot is None:
            slot = next((one for one in self._slots if not one.name), None)
        if slot is None:
            idle = [one for one in self._slots if not one.busy]
            if not idle:
                return None
            slot = min(idle, key=lambda one: one.used)
            self.free(slot)
        slot.name = name
        self.touch(slot)
        return slot

    def spare(self, most: int) -> list[Slot]:
        """Up to ``most`` slots that nobody has a name for; nothing is emptied for them."""
        return [slot for slot in self._slots if not slot.name][:most]

    def empty_last(self) -> bool:
        """Empty the last slot for a moment's use (the thread probe); False when it is busy."""
        slot = self._slots[-1]
        if slot.busy:
            return False
        self.free(slot)
        return True

    def free(self, slot: Slot) -> None:
        """Empty a slot."""
        self._cache.remove(slot.number)
        slot.name = ""
        slot.tokens = []
        slot.cells = []
        slot.busy = 0

    def free_least_used(self) -> bool:
        """Empty the least recently used idle slot that holds cells of its own; False when there is none."""
        idle = [slot for slot in self._slots if slot.name and not slot.busy and slot.tokens]
        if not idle:
            return False
        self.free(min(idle, key=lambda slot: slot.used))
        return True

    def truncate(self, slot: Slot, length: int) -> int:
        """Keep the first ``length`` tokens; returns how many were really kept (0 if it had to be emptied)."""
        if length < len(slot.tokens) and not (length and self._cache.remove(slot.number, length)):
            self._cache.remove(slot.number)
            length = 0
        del slot.tokens[length:]
        del slot.cells[length:]
        return length

    def reuse(self, slot: Slot, prompt: Sequence[int]) -> int:
        """Make the slot hold the longest known prefix of the prompt; returns its length.

        At least the last token is left to be evaluated, because its logits are needed. A longer
        prefix in another sequence is shared rather than evaluated again.
        """
        prompt = list(prompt)
        limit = len(prompt) - 1
        own = min(common_prefix(slot.tokens, prompt), limit)
        best, length = None, own
        if self._cache.partial_removal:
            for other in self._slots:
                if other is not slot and other.tokens:
                    shared = min(common_prefix(other.tokens, prompt), limit)
                    if shared >= length + self.WORTH_SHARING:
                        best, length = other, shared
        if best is None:
            return self.truncate(slot, own)
        self.truncate(slot, 0)
        self._share(best, slot, length)
        return length

    def fork(self, source: Slot, target: Slot) -> None:
        """Make ``target`` hold what ``source`` holds."""
        if source is target:
            return
        self.truncate(target, 0)
        self._share(source, target, len(source.tokens))

    def _share(self, source: Slot, target: Slot, length: int) -> None:
        whole = length == len(source.tokens)
        self._cache.copy(source.number, target.number, -1 if whole else length)
        target.tokens = source.tokens[:length]
        target.cells = source.cells[:length]

    def append(self, slot: Slot, tokens: Sequence[int]) -> None:
        """Note that these tokens were evaluated into the slot."""
        slot.tokens.extend(tokens)
        slot.cells.extend(itertools.islice(self._cells, len(tokens)))

    def adopt(self, slot: Slot, tokens: Sequence[int]) -> None:
        """Note what a restored slot holds."""
        slot.tokens = list(tokens)
        slot.cells = [next(self._cells) for _ in tokens]

    def forget_all(self) -> None:
        """The KV cache was cleared: every slot is free."""
        for slot in self._slots:
            slot.name, slot.tokens, slot.cells, slot.busy = "", [], [], 0
