"""One answer being written: from sampled tokens to text, stop texts, grammar trigger, figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from llmos.kernel.engine import Engine, Floats
from llmos.kernel.sampler import Grammar, Sampler
from llmos.kernel.sequences import Slot
from llmos.kernel.utf8 import Utf8Stream
from llmos.types import StopReason

#: Text is sent at most this often (seconds); a slower model sends every token at once.
FLUSH_INTERVAL = 0.02


class StopTexts:
    """Finds stop texts in a stream; what may be the beginning of one is held back."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""

    def feed(self, text: str) -> tuple[str, bool]:
        """(text that is safe to show, whether a stop text was found)."""
        if not self._stops:
            return text, False
        self._held += text
        found = [at for at in (self._held.find(stop) for stop in self._stops) if at >= 0]
        if found:
            shown, self._held = self._held[: min(found)], ""
            return shown, True
        keep = max(self._overlap(stop) for stop in self._stops)
        cut = len(self._held) - keep
        shown, self._held = self._held[:cut], self._held[cut:]
        return shown, False

    def _overlap(self, stop: str) -> int:
        """Length of the longest end of the held text that begins this stop text."""
        for length in range(min(len(stop) - 1, len(self._held)), 0, -1):
            if self._held.endswith(stop[:length]):
                return length
        return 0

    def end(self) -> str:
        """What was held back and turned out to be text."""
        shown, self._held = self._held, ""
        return shown


class Trigger:
    """Watches the answer for the text after which the grammar begins to hold."""

    def __init__(self, engine: Engine, grammar: str, text: str) -> None:
        self._engine = engine
        self._grammar = grammar
        self._mark = text.encode()
        self._recent: list[int] = []
        self._bytes = b""
        Grammar(engine, grammar).close()  # a bad grammar is told at once, not when it is needed

    def feed(self, token: int) -> Grammar | None:
        """The grammar, fed with the text from the trigger on, once the trigger has been written."""
        self._recent.append(token)
        self._bytes += self._engine.piece(token)
        start = self._bytes.find(self._mark)
        if start < 0:
            self._trim()
            return None
        grammar = Grammar(self._engine, self._grammar)
        if all(grammar.accept(one) for one in self._tokens_from(start)):
            return grammar
        grammar.close()  # the text already breaks the grammar: it cannot be mended any more
        self._recent, self._bytes = [], b""
        return None

    def _trim(self) -> None:
        """Forget tokens that cannot be part of the trigger any more."""
        while self._recent:
            first = self._engine.piece(self._recent[0])
            if len(self._bytes) - len(first) < len(self._mark):
                break
            self._bytes = self._bytes[len(first) :]
            del self._recent[0]

    def _tokens_from(self, start: int) -> list[int]:
        """Tokens of the text from byte ``start``: those sampled, or the text cut anew inside a token."""
        offset = 0
        for index, token in enumerate(self._recent):
            if offset == start:
                return self._recent[index:]
            offset += len(self._engine.piece(token))
        return self._engine.tokenize(self._bytes[start:].decode("utf-8", "replace"), special=True)


@dataclass(slots=True)
class Lane:
    """One sample of a job.

    Attributes:
        pending: the token sampled last, not yet evaluated.
        count: tokens sampled.
        reason: why it ended, None while it runs.
        told: its end was sent to the client.
        stream: text is sent as it comes; else all of it when ``flush`` is forced.
    """

    engine: Engine
    slot: Slot
    sampler: Sampler
    sample: int
    stops: StopTexts
    trigger: Trigger | None
    logprobs: int
    want_mean: bool
    stream: bool = True
    pending: int = -1
    count: int = 0
    reason: StopReason | None = None
    stopped_by_text: bool = False
    told: bool = False
    logprob_sum: float = 0.0
    first_at: float = 0.0
    last_at: float = 0.0
    _stream: Utf8Stream = field(default_factory=Utf8Stream)
    _text: list[str] = field(default_factory=list)
    _tokens: list[int] = field(default_factory=list)
    _values: list[float] = field(default_factory=list)
    _others: list[list[tuple[int, str, float, float]]] = field(default_factory=list)
    _flushed_at: float = 0.0

    def sample_from(self, row: int, now: float) -> None:
        """Draw the next token from a row of the last batch and take it in."""
        token = self.sampler.draw(row)
        if token < 0:
            self.reason = "stop"  # the grammar is complete and allows nothing more
            return
        if self.logprobs or self.want_mean:
            self._measure(self.engine.logits(row), token)
        self.count += 1
        if self.count == 1:
            self.first_at = now
        self.last_at = now
        if self.engine.is_end(token):
            self.reason = "stop"
            if self.logprobs:
                self._values.pop()
                self._others.pop()
            return
        self.pending = token
        self._tokens.append(token)
        if self.trigger is not None:
            grammar = self.trigger.feed(token)
            if grammar is not None:
                self.sampler.grammar, self.trigger = grammar, None
        text, stopped = self.stops.feed(self._stream.feed(self.engine.piece(token)))
        if text:
            self._text.append(text)
        if stopped:
            self.stopped_by_text = True
            self.reason = "stop"

    def _measure(self, logits: Floats, token: int) -> None:
        top = float(logits.max())
        total = top + float(np.log(np.exp(logits - top, dtype=np.float32).sum(dtype=np.float64)))
        value = float(logits[token]) - total
        self.logprob_sum += value
        if self.logprobs:
            self._values.append(value)
            self._others.append(alternatives(self.engine, logits, total, self.logprobs))

    def finish_text(self) -> None:
        """Move what was held back (half letters, half stop texts) to the output."""
        if not self.stopped_by_text:
            text, self.stopped_by_text = self.stops.feed(self._stream.end())
            self._text.append(text if self.stopped_by_text else text + self.stops.end())

    def flush(self, now: float, *, force: bool = False) -> dict[str, Any] | None:
        """The chunk message that is due, or None."""
        if not force and (
            not self.stream or not self._text or (now - self._flushed_at < FLUSH_INTERVAL and self.count > 1)
        ):
            return None
        if not self._tokens and not any(self._text):
            return None
        message: dict[str, Any] = {
            "e": "chunk",
            "s": self.sample,
            "x": "".join(self._text),
            "t": self._tokens,
        }
        if self.logprobs:
            message["p"] = self._values
            message["a"] = self._others
        self._text, self._tokens, self._values, self._others = [], [], [], []
        self._flushed_at = now
        return message


def alternatives(engine: Engine, logits: Floats, total: float, top: int) -> list[tuple[int, str, float, float]]:
    """The likeliest tokens of a row as (id, text, probability, logit); ``total`` is the log of the sum."""
    top = min(top, len(logits))
    best = np.argpartition(-logits, top - 1)[:top]
    best = best[np.argsort(-logits[best], kind="stable")]
    return [
        (
            int(token),
            engine.piece(int(token)).decode("utf-8", "replace"),
            float(np.exp(logits[token] - total)),
            float(logits[token]),
        )
        for token in best
    ]
