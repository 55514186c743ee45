"""The few tokens of a row that a draw can fall on, found before llama.cpp's sampler chain runs.

What top-k or min-p keep can be bounded from below with two passes of numpy over the logits; the
chain then works on some dozens of candidates and draws exactly what it would have drawn from the
whole vocabulary (128,000 tokens of twelve bytes in a large model).
"""

from __future__ import annotations

import ctypes
import math
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmos.kernel.engine import Floats
from llmos.types import SamplingSettings

#: How many of the last tokens the penalties look at.
PENALTY_WINDOW = 256

#: Groups whose maxima bound the k-th largest logit; more make the bound tighter and the pass slower.
_GROUPS = 512

#: Where top-k keeps more than this, all tokens are candidates.
_MOST_KEPT = 256

#: llama.cpp computes the limit of min-p in 32 bits; what lies this close to it is left to llama.cpp.
_SLACK = 1e-3

#: So few biased tokens are quicker one by one than as arrays.
_FEW = 16

#: Tokens and their logits as they were.
Saved = list[tuple[int, np.float32]] | tuple[NDArray[np.int64], Floats]

CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class Candidates:
    """Room for candidates in llama.cpp's form, used again for every draw.

    Args:
        library: the low-level module.
    """

    def __init__(self, library: Any) -> None:
        self._library = library
        self._room = np.zeros(0, CANDIDATE)
        self._array = library.llama_token_data_array()
        self._start: Any = None

    def fill(self, ids: NDArray[np.int_], logits: Floats) -> Any:
        """A ``llama_token_data_array`` of these tokens, good until the next ``fill`` of this object.

        Args:
            ids: tokens, [n].
            logits: their logits, [n].
        """
        count = len(ids)
        if count > len(self._room):
            self._room = np.zeros(max(1024, count), CANDIDATE)
            self._start = self._room.ctypes.data_as(ctypes.POINTER(self._library.llama_token_data))
        self._room["id"][:count] = ids
        self._room["logit"][:count] = logits
        array = self._array
        array.data = self._start  # samplers may let it point elsewhere
        array.size, array.selected, array.sorted = count, -1, False
        return array

    @property
    def values(self) -> Any:
        """The candidates after ``fill`` and a sampler that only changes logits, as a structured array."""
        return self._room[: self._array.size]


class Adjustments:
    """Logit bias and penalties: what changes single logits before anything is kept or dropped.

    Args:
        settings: the penalties.
        bias: token id to a number added to its logit.
    """

    def __init__(self, settings: SamplingSettings, bias: Mapping[int, float]) -> None:
        self._repeat = settings.repeat_penalty
        self._presence, self._frequency = settings.presence_penalty, settings.frequency_penalty
        self._penalise = self._repeat != 1.0 or bool(self._presence) or bool(self._frequency)
        self._bias = dict(bias)
        self._recent: deque[int] = deque()
        self._counts: Counter[int] = Counter()

    def accept(self, token: int) -> None:
        """Count a token that was written."""
        if not self._penalise:
            return
        self._recent.append(token)
        self._counts[token] += 1
        if len(self._recent) > PENALTY_WINDOW:
            old = self._recent.popleft()
            self._counts[old] -= 1
            if not self._counts[old]:
                del self._counts[old]

    def __bool__(self) -> bool:
        """Whether anything may have to be changed."""
        return self._penalise or bool(self._bias)

    def put(self, logits: Floats) -> Saved:
        """Change a row of logits, [vocabulary], in place; a copy would cost more than all the rest of a draw.

        Returns:
            what ``undo`` needs.
        """
        if not self._counts and len(self._bias) <= _FEW:
            before = [(token, logits[token]) for token in self._bias]
            for token, value in self._bias.items():
                logits[token] += value
            return before
        seen = np.fromiter(self._counts.keys(), np.int64, len(self._counts))
        biased = np.fromiter(self._bias.keys(), np.int64, len(self._bias))
        ids = np.union1d(biased, seen)
        saved = (ids, logits[ids])
        logits[biased] += np.fromiter(self._bias.values(), np.float32, len(self._bias))
        self._penalise_tokens(logits, seen)
        return saved

    def undo(self, logits: Floats, saved: Saved) -> None:
        """Put back what ``put`` changed."""
        if isinstance(saved, tuple):
            logits[saved[0]] = saved[1]
        else:
            for token, value in saved:
                logits[token] = value

    def _penalise_tokens(self, logits: Floats, seen: NDArray[np.int64]) -> None:
        counts = np.fromiter(self._counts.values(), np.float32, len(self._counts))
        here = logits[seen]
        here = np.where(here <= 0, here * self._repeat, here / self._repeat)
        logits[seen] = here - counts * self._frequency - self._presence


class Shortlist:
    """Finds the tokens that a draw with given settings can fall on.

    Args:
        settings: only top-k, top-p and min-p matter.
        vocabulary: number of tokens.

    Attributes:
        only_min_p: whether min-p alone drops tokens.
    """

    def __init__(self, settings: SamplingSettings, vocabulary: int) -> None:
        self.only_min_p = settings.top_k <= 0 and settings.top_p >= 1 and settings.min_p > 0
        self._top_k = settings.top_k if 0 < settings.top_k <= _MOST_KEPT else 0
        # Top-p without top-k weighs the whole vocabulary.
        self._below_top = math.log(min(settings.min_p, 1.0)) - _SLACK if self.only_min_p else None
        self._rows = vocabulary // _GROUPS
        self._tops = np.empty(_GROUPS, np.float32)
        self._above = np.empty(vocabulary, np.bool_)

    def find(self, logits: Floats) -> NDArray[np.int_] | None:
        """Ids of these tokens in order; None where it may be any.

        Args:
            logits: adjusted logits, [vocabulary], no NaN among them.
        """
        if self._top_k and self._rows >= 2:
            bound = self._below_largest(logits)
        elif self._below_top is not None:
            bound = float(logits.max()) + self._below_top
        else:
            return None
        np.greater_equal(logits, bound, out=self._above)
        return self._above.nonzero()[0]

    def _below_largest(self, logits: Floats) -> float:
        """A number that at least k of the logits reach: the k largest maxima of groups are k different ones."""
        tops = self._tops
        logits[: self._rows * _GROUPS].reshape(self._rows, _GROUPS).max(axis=0, out=tops)
        tops.partition(_GROUPS - self._top_k)
        return float(tops[_GROUPS - self._top_k])
