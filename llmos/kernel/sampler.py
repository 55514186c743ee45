"""The sampler of one answer: bias, penalties, top-k, top-p, min-p, temperature, seed, grammar.

llama.cpp's sampler chain draws, from the candidates that ``shortlist`` leaves. The grammar is not
part of the chain: checking every candidate of a large vocabulary costs more than the forward pass
of a small model. The chain draws first, the grammar checks that one token, and only when it
refuses the whole vocabulary is filtered and drawn again.
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
from llmos.kernel.shortlist import Adjustments, Candidates, Shortlist
from llmos.types import SamplingSettings


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
        self._one = Candidates(self._c)

    def apply(self, array: Any) -> None:
        """Set the logits of candidates that the grammar forbids to minus infinity."""
        self._c.llama_sampler_apply(self._handle, ctypes.byref(array))

    def allows(self, token: int) -> bool:
        """Whether this token may come next."""
        self.apply(self._one.fill(np.array([token]), np.zeros(1, np.float32)))
        return bool(np.isfinite(self._one.values["logit"][0]))

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
        engine.check_tokens(list(bias or ()))
        if not all(value < math.inf for value in (bias or {}).values()):  # NaN is not below it either
            raise KernelError("The bias of a token is not a finite number.")
        self._engine = engine
        self._greedy = settings.temperature == 0
        self._c, _, self._ctx, _ = engine.handles
        seed = secrets.randbits(32) if settings.seed is None else settings.seed
        self.seed = (seed + salt) % 0xFFFFFFFF  # the largest value means "random" to llama.cpp
        self.grammar: Grammar | None = None
        self._adjustments = Adjustments(settings, bias or {})
        self._plain = not self._adjustments
        self._candidates = Candidates(self._c)
        self._shortlist = Shortlist(settings, engine.vocabulary)
        self._chain = self._c.llama_sampler_chain_init(self._c.llama_sampler_chain_default_params())
        if not self._chain:
            raise KernelError("llama.cpp cannot make a sampler.")
        for one in self._parts(settings):
            if not one:
                self.close()
                raise KernelError("llama.cpp refuses a sampling setting.")
            self._c.llama_sampler_chain_add(self._chain, one)

    def _parts(self, settings: SamplingSettings) -> list[Any]:
        c, parts = self._c, []
        if settings.temperature == 0:
            return [c.llama_sampler_init_greedy()]
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
        # Measured between forward passes: llama.cpp's own way is quicker at first (numpy's code is no
        # longer in the processor's caches); from the second row on the list is, where there is no top-k.
        native = self.grammar is None and not (row and self._shortlist.only_min_p)
        if native and self._plain:
            return int(self._c.llama_sampler_sample(self._chain, self._ctx, row))
        logits = self._engine.logits(row)
        saved = self._adjustments.put(logits)
        try:
            if native:
                token = int(self._c.llama_sampler_sample(self._chain, self._ctx, row))
            else:
                token = self._likely(logits)
                if token >= 0 and self.grammar is not None and not self.grammar.allows(token):
                    token = self._allowed(logits)
        finally:
            self._adjustments.undo(logits, saved)
        if token >= 0:
            self._adjustments.accept(token)
            if self.grammar is not None:
                self.grammar.accept(token)
        return token

    def _likely(self, logits: Floats) -> int:
        """A token as the settings draw it."""
        if self._greedy:
            return int(logits.argmax())
        ids = self._shortlist.find(logits)
        array = self._all(logits) if ids is None else self._candidates.fill(ids, logits[ids])
        return self._select(array)

    def _allowed(self, logits: Floats) -> int:
        """A token that the grammar allows; -1 when there is none."""
        assert self.grammar is not None
        self.grammar.apply(self._all(logits))
        left = self._candidates.values
        left = left[np.isfinite(left["logit"])]
        if not len(left):
            return -1
        return self._select(self._candidates.fill(left["id"], left["logit"]))

    def _all(self, logits: Floats) -> Any:
        return self._candidates.fill(np.arange(len(logits)), logits)

    def _select(self, array: Any) -> int:
        self._c.llama_sampler_apply(self._chain, ctypes.byref(array))
        return int(array.data[array.selected].id) if 0 <= array.selected < array.size else -1

    def distribution(self, logits: Floats) -> list[tuple[int, float]]:
        """(token, probability) as the chain leaves it, likeliest first."""
        saved = self._adjustments.put(logits)
        array = self._all(logits)
        self._adjustments.undo(logits, saved)
        self._c.llama_sampler_apply(self._chain, ctypes.byref(array))
        if array.selected >= 0 and array.data[array.selected].p == 0:
            return [(int(array.data[array.selected].id), 1.0)]  # greedy computes no probabilities
        pairs = [(int(array.data[i].id), float(array.data[i].p)) for i in range(array.size)]
        return sorted(pairs, key=lambda pair: -pair[1])

    def accept(self, token: int) -> None:
        """Let the penalties know a token of the prompt."""
        self._adjustments.accept(token)

    def close(self) -> None:
        """Free the chain and the grammar."""
        if self._chain:
            self._c.llama_sampler_free(self._chain)
            self._chain = None
        if self.grammar is not None:
            self.grammar.close()
            self.grammar = None
