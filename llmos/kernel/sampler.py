"""The sampler chain of one answer: bias, penalties, top-k, top-p, min-p, temperature, seed, grammar.

The grammar is not part of the chain: checking every candidate of a large vocabulary costs more
than the forward pass of a small model. The chain draws first, the grammar checks that one token,
and only when it refuses the whole vocabulary is filtered and drawn again.
"""

from __future__ import annotations

import ctypes
import math
import secrets
from collections.abc import Mapping
from typing import Any

import numpy as np

from llmos.kernel.engine import Engine, Floats
from llmos.kernel.protocol import KernelError
from llmos.types import SamplingSettings

#: How many of the last tokens the penalties look at.
PENALTY_WINDOW = 256

_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


def check_settings(settings: SamplingSettings) -> None:
    """Raise ``KernelError`` for values that llama.cpp would abort on or make no sense of."""
    finite = (
        settings.temperature,
        settings.top_p,
        settings.min_p,
        settings.repeat_penalty,
        settings.presence_penalty,
        settings.frequency_penalty,
    )
    if not all(math.isfinite(value) for value in finite):
        raise KernelError("A sampling setting is not a finite number.")
    if settings.repeat_penalty <= 0:
        raise KernelError(f"repeat_penalty must be above 0, not {settings.repeat_penalty}.")
    if settings.temperature < 0:
        raise KernelError(f"temperature must be 0 or more, not {settings.temperature}.")


class Grammar:
    """A GBNF grammar that holds from now on.

    Args:
        engine: gives the vocabulary.
        text: GBNF with a rule named ``root``.

    Raises:
        KernelError: the grammar cannot be parsed.
    """

    def __init__(self, engine: Engine, text: str) -> None:
        self._engine = engine
        self._c, _, _, vocab = engine.handles
        # An empty text would give a sampler that allows everything.
        self._handle = (
            self._c.llama_sampler_init_grammar(vocab, text.encode(), b"root") if text.strip() else None
        )
        if not self._handle:
            raise KernelError("The grammar cannot be read: it has no rule named root or breaks GBNF's syntax.")
        self._one = np.zeros(1, _CANDIDATE)

    def apply(self, candidates: Any) -> None:
        """Set the logits of candidates that the grammar forbids to minus infinity."""
        array = _token_array(self._c, candidates)
        self._c.llama_sampler_apply(self._handle, ctypes.byref(array))

    def allows(self, token: int) -> bool:
        """Whether this token may come next."""
        self._one[0] = (token, 0.0, 0.0)
        self.apply(self._one)
        return bool(np.isfinite(self._one["logit"][0]))

    def accept(self, token: int) -> bool:
        """Go on after a token; False (and no change) when it is not allowed.

        llama.cpp aborts the process when a forbidden token is accepted, hence the check.
        """
        if self._engine.is_end(token):
            return self.allows(token)
        if not self.allows(token):
            return False
        self._c.llama_sampler_accept(self._handle, token)
        return True

    def close(self) -> None:
        """Free it."""
        if self._handle:
            self._c.llama_sampler_free(self._handle)
            self._handle = None


def _token_array(library: Any, candidates: Any) -> Any:
    pointer = candidates.ctypes.data_as(ctypes.POINTER(library.llama_token_data))
    return library.llama_token_data_array(data=pointer, size=len(candidates), selected=-1, sorted=False)


class Sampler:
    """Draws the tokens of one answer.

    Args:
        engine: the engine whose rows are sampled.
        settings: how to draw; temperature 0 takes the likeliest.
        bias: token id to a logit added to it.
        salt: added to the seed, so that samples of one request differ.

    Raises:
        KernelError: a setting out of range.
    """

    def __init__(
        self,
        engine: Engine,
        settings: SamplingSettings,
        bias: Mapping[int, float] | None = None,
        salt: int = 0,
    ) -> None:
        check_settings(settings)
        self._engine = engine
        self._c, _, self._ctx, _ = engine.handles
        seed = secrets.randbits(32) if settings.seed is None else settings.seed
        self.seed = (seed + salt) % 0xFFFFFFFF  # the largest value means "random" to llama.cpp
        self.grammar: Grammar | None = None
        self._chain = self._c.llama_sampler_chain_init(self._c.llama_sampler_chain_default_params())
        if not self._chain:
            raise KernelError("llama.cpp cannot make a sampler.")
        for one in self._parts(settings, bias or {}):
            if not one:
                self.close()
                raise KernelError("llama.cpp refuses a sampling setting.")
            self._c.llama_sampler_chain_add(self._chain, one)

    def _parts(self, settings: SamplingSettings, bias: Mapping[int, float]) -> list[Any]:
        c, parts = self._c, []
        if bias:
            self._engine.check_tokens(list(bias))
            entries = (c.llama_logit_bias * len(bias))(*bias.items())
            parts.append(c.llama_sampler_init_logit_bias(self._engine.vocabulary, len(bias), entries))
        if settings.repeat_penalty != 1.0 or settings.presence_penalty or settings.frequency_penalty:
            parts.append(
                c.llama_sampler_init_penalties(
                    self._engine.vocabulary,
                    PENALTY_WINDOW,
                    settings.repeat_penalty,
                    settings.frequency_penalty,
                    settings.presence_penalty,
                )
            )
        if settings.temperature == 0:
            return [*parts, c.llama_sampler_init_greedy()]
        if settings.top_k > 0:
            parts.append(c.llama_sampler_init_top_k(settings.top_k))
        if settings.top_p < 1:
            parts.append(c.llama_sampler_init_top_p(settings.top_p, 1))
        if settings.min_p > 0:
            parts.append(c.llama_sampler_init_min_p(settings.min_p, 1))
        if settings.temperature != 1:
            parts.append(c.llama_sampler_init_temp(settings.temperature))
        return [*parts, c.llama_sampler_init_dist(self.seed)]

    def draw(self, row: int) -> int:
        """The next token from a row of the last batch; -1 when the grammar allows none at all."""
        self._engine.check_finite(row)
        if not self._chain:
            raise KernelError("The sampler is closed.")
        if self.grammar is None:
            return int(self._c.llama_sampler_sample(self._chain, self._ctx, row))
        token = self._select(self._engine.logits(row), filtered=False)
        if token >= 0 and not self.grammar.allows(token):
            token = self._select(self._engine.logits(row), filtered=True)
        if token >= 0:
            self._c.llama_sampler_accept(self._chain, token)
            self.grammar.accept(token)
        return token

    def _select(self, logits: Floats, *, filtered: bool) -> int:
        candidates = self.candidates(logits)
        if filtered and self.grammar is not None:
            self.grammar.apply(candidates)
            candidates = candidates[np.isfinite(candidates["logit"])]
            if not len(candidates):
                return -1
        array = _token_array(self._c, candidates)
        self._c.llama_sampler_apply(self._chain, ctypes.byref(array))
        return int(array.data[array.selected].id) if 0 <= array.selected < array.size else -1

    def candidates(self, logits: Floats) -> Any:
        """The whole vocabulary as an array of (id, logit, p)."""
        found = np.zeros(len(logits), _CANDIDATE)
        found["id"] = np.arange(len(logits), dtype=np.int32)
        found["logit"] = logits
        return found

    def distribution(self, logits: Floats) -> list[tuple[int, float]]:
        """(token, probability) as the chain leaves it, likeliest first."""
        candidates = self.candidates(logits)
        array = _token_array(self._c, candidates)
        self._c.llama_sampler_apply(self._chain, ctypes.byref(array))
        if array.selected >= 0 and array.data[array.selected].p == 0:
            return [(int(array.data[array.selected].id), 1.0)]  # greedy computes no probabilities
        pairs = [(int(array.data[i].id), float(array.data[i].p)) for i in range(array.size)]
        return sorted(pairs, key=lambda pair: -pair[1])

    def accept(self, token: int) -> None:
        """Let the penalties know a token of the prompt."""
        self._c.llama_sampler_accept(self._chain, token)

    def close(self) -> None:
        """Free the chain and the grammar."""
        if self._chain:
            self._c.llama_sampler_free(self._chain)
            self._chain = None
        if self.grammar is not None:
            self.grammar.close()
            self.grammar = None
