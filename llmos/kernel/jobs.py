"""A generation that was asked for: its prompt and settings, what can be refused about them, its figures."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from llmos.kernel.engine import Engine
from llmos.kernel.lanes import Lane, StopTexts, Trigger
from llmos.kernel.protocol import KernelError, Priority
from llmos.kernel.sampler import Grammar, Sampler
from llmos.kernel.sequences import Slot
from llmos.types import SamplingSettings


@dataclass(slots=True)
class Job:
    """A generation that the scheduler works on.

    Attributes:
        id: the request's number, by which the client knows its events.
        done: prompt tokens that are in the KV cache.
        cached: prompt tokens that were there before.
        lanes: the samples; empty until the prompt is evaluated.
        held: an older job was reading what both prompts begin with, to be shared then.
    """

    id: int
    prompt: list[int]
    sequence: str
    max_tokens: int | None
    sampling: SamplingSettings
    stop: list[str]
    grammar: str
    grammar_trigger: str
    samples: int
    logprobs: int
    priority: Priority
    keep: bool
    bias: dict[int, float]
    stream: bool = True
    slot: Slot | None = None
    done: int = 0
    cached: int = 0
    lanes: list[Lane] = field(default_factory=list)
    held: bool = False
    asked_at: float = field(default_factory=time.perf_counter)

    def check_prompt(self, engine: Engine, largest: int = 0) -> None:
        """Refuse a prompt that is empty, too long or of another tokenizer, and too many samples.

        Args:
            engine: that is to read it.
            largest: largest context that would fit this machine and model, to offer for a long prompt.

        Raises:
            KernelError: it is refused; the sentence says why.
        """
        context = engine.context
        if not self.prompt:
            raise KernelError("The prompt is empty.")
        if len(self.prompt) >= context:
            over = len(self.prompt) - context + 1
            offer = (
                f" or load the model with a larger context (up to {largest:,} tokens fit here)"
                if largest > context
                else ""
            )
            raise KernelError(
                f"The prompt is {len(self.prompt):,} tokens long but the context window holds {context:,}; "
                f"shorten it by at least {over:,} tokens{offer}."
            )
        if self.samples < 1 or self.samples > engine.max_sequences:
            raise KernelError(f"Between 1 and {engine.max_sequences} samples can be decoded together.")
        engine.check_tokens(self.prompt)

    def check(self, engine: Engine) -> None:
        """Raise ``KernelError`` for settings or a grammar that cannot be used, before the prompt is read."""
        self.make_lane(engine, Slot(0), 0).sampler.close()

    def make_lane(self, engine: Engine, slot: Slot, sample: int) -> Lane:
        """A lane for one sample, its sampler ready."""
        sampler = Sampler(engine, self.sampling, self.bias, salt=sample)
        trigger = None
        if self.grammar and self.grammar_trigger:
            trigger = Trigger(engine, self.grammar, self.grammar_trigger)
        elif self.grammar:
            sampler.grammar = Grammar(engine, self.grammar)
        return Lane(
            engine=engine,
            slot=slot,
            sampler=sampler,
            sample=sample,
            stops=StopTexts(self.stop),
            trigger=trigger,
            logprobs=self.logprobs,
            want_mean=self.samples > 1,
            stream=self.stream,
        )

    # -- messages to the client ---------------------------------------------------------------

    def prefill_message(self) -> dict[str, Any]:
        """How far the prompt has been read."""
        return {"e": "prefill", "done": self.done, "total": len(self.prompt), "cached": self.cached}

    def finished_message(self, lane: Lane, now: float) -> dict[str, Any]:
        """The figures of a sample that has ended."""
        spent = lane.last_at - lane.first_at
        return {
            "e": "finished",
            "stop_reason": lane.reason,
            "sample": lane.sample,
            "prompt_tokens": len(self.prompt),
            "cached_tokens": self.cached,
            "completion_tokens": lane.count,
            "seconds": now - self.asked_at,
            "first_token_seconds": lane.first_at - self.asked_at if lane.count else 0.0,
            "tokens_per_second": (lane.count - 1) / spent if spent > 0 else 0.0,
            "mean_logprob": lane.logprob_sum / lane.count if lane.count else 0.0,
        }

    def unstarted_message(self, now: float) -> dict[str, Any]:
        """The figures of a job that was stopped before its first token."""
        return {
            "e": "finished",
            "stop_reason": "stopped",
            "sample": 0,
            "prompt_tokens": len(self.prompt),
            "cached_tokens": self.cached,
            "completion_tokens": 0,
            "seconds": now - self.asked_at,
        }
