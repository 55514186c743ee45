"""Vectors of texts, from a context made for embedding: one text at a time, cut to what fits."""

from __future__ import annotations

import unicodedata

import numpy as np

from llmos.kernel.engine import Engine, Floats
from llmos.kernel.protocol import KernelError, NotAvailable


class Embedder:
    """Embeds with an engine that was made with ``embedding=True``.

    Args:
        engine: its batch is the longest text, in tokens; a longer batch would abort the process.
        pooling: ``pooling_type`` of the model's metadata: 0 none (the mean is taken), 1 mean,
            2 the first token, 3 the last.
    """

    def __init__(self, engine: Engine, pooling: int = 1) -> None:
        if pooling > 3:
            raise NotAvailable("This model ranks pairs of texts; it does not embed.")
        self._engine = engine
        self._pooling = pooling
        c, _, _, vocab = engine.handles
        self._word_pieces = int(c.llama_vocab_type(vocab)) == 3  # LLAMA_VOCAB_TYPE_WPM
        self._separator = int(c.llama_vocab_sep(vocab))
        self._classifier = int(c.llama_vocab_bos(vocab))
        self._limit = min(engine.context, 512, engine.trained_context or 512)

    def tokens(self, text: str) -> list[int]:
        """Token ids as the model wants them, cut to its window."""
        if self._word_pieces and not text.isascii():
            # llama.cpp's word pieces keep accents that the uncased models were trained without.
            decomposed = unicodedata.normalize("NFD", text)
            text = "".join(letter for letter in decomposed if unicodedata.category(letter) != "Mn")
        found = self._engine.tokenize(text)
        if self._word_pieces:
            found = [self._classifier, *found[: self._limit - 2], self._separator]
        else:
            found = self._engine.tokenize(text, bos=True)[: self._limit]
        return found or [max(self._engine.start_and_end()[:2])]

    def vector(self, text: str, *, hidden: bool = False) -> Floats:
        """[width] float32: pooled and of length 1, or the raw last hidden state of the last token.

        A text that is too long is cut at its end; with ``hidden``, where the end counts, at its beginning.

        Raises:
            KernelError: the model gives no finite vector.
        """
        engine = self._engine
        # Hidden states are asked of rendered chats: there special tokens are read as such.
        rendered = engine.tokenize(text, special=True)[-self._limit :] if hidden else []
        tokens = rendered or self.tokens(text)
        engine.clear()
        if engine.decode([(token, at, 0, True) for at, token in enumerate(tokens)]):
            raise KernelError("The embedding window is full.")
        states = engine.hidden_states()
        if hidden:
            found = states[-1]
        else:
            pooled = states.mean(axis=0) if self._pooling < 2 else states[0 if self._pooling == 2 else -1]
            found = pooled / max(float(np.linalg.norm(pooled)), 1e-12)
        if not np.isfinite(found).all():
            raise KernelError("The embedding model's weights are damaged: its vectors are not finite.")
        return np.asarray(found, np.float32)
