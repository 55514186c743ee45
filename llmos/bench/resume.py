"""``llmos bench resume``: coming back to a conversation from its KV state on disk, against prefill.

One kernel evaluates the conversation, answers, saves the state and goes on answering without a
break. Then it ends. A second one, loaded anew, restores the state and must go on with the same
tokens. Both use the same number of threads: another number sums in another order, and where two
tokens are nearly as likely, as with random weights, the other one may win. The model is loaded in
both cases, so its loading is in neither time; the file was just written, so it comes from the
system's page cache.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llmos.bench.figures import Figure, figure
from llmos.bench.random_gguf import B1, M135, TINY, write_random_gguf
from llmos.kernel.client import KernelClient
from llmos.kernel.protocol import Chunk, GenerateRequest, LoadRequest, Prefilled
from llmos.types import SamplingSettings, UserError

Say = Callable[[str], None]
_SHAPES = {"135M": M135, "1B": B1, "tiny": TINY}
#: Tokens of each greedy answer.
_ANSWER = 24
#: Seconds between lines of progress.
_EVERY = 15.0


@dataclass(slots=True)
class Answered:
    """A greedy continuation.

    Attributes:
        tokens: what was written.
        seconds: until the first of them.
        evaluated: prompt tokens that were not cached.
    """

    tokens: list[int]
    seconds: float = 0.0
    evaluated: int = 0


async def _greedy(kernel: KernelClient, prompt: list[int], say: Say) -> Answered:
    out = Answered([])
    began = told = time.perf_counter()
    request = GenerateRequest(
        prompt,
        sequence="chat",
        max_tokens=_ANSWER,
        sampling=SamplingSettings(temperature=0.0),
        bias={token: -1e9 for token in range(9)},  # the special tokens: none ends the answer
    )
    async for event in kernel.generate(request):
        now = time.perf_counter()
        if isinstance(event, Chunk):
            out.seconds = out.seconds or now - began
            out.tokens += event.tokens
        elif isinstance(event, Prefilled):
            out.evaluated = event.total - event.cached
            if now - told > _EVERY and event.done > event.cached:
                told = now
                left = (now - began) / (event.done - event.cached) * (event.total - event.done)
                say(f"evaluated {event.done:,} of {event.total:,} tokens, about {left:,.0f} s left")
    return out


async def _shape(name: str, tokens: int, rounds: int, say: Say) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="llmos-resume-") as folder:
        say(f"writing random weights: {name}")
        path = await asyncio.to_thread(
            write_random_gguf, Path(folder) / "m.gguf", _SHAPES[name], quantisation="Q8_0"
        )
        state = Path(folder) / "state.kv"
        request = LoadRequest(path, context=tokens + 256, max_sequences=2)
        kernel = KernelClient()
        try:
            info = await kernel.load(request)
            request = replace(request, threads=info.threads)  # as probed; a number that is given is kept
            await kernel.load(request)
            rng = random.Random(3)
            prompt = [rng.randrange(300, info.vocabulary) for _ in range(tokens)]
            say(f"{name}: evaluating {tokens:,} tokens")
            first = await _greedy(kernel, prompt, say)
            saved = await kernel.save_sequence("chat", state)
            more = [*prompt, *first.tokens, rng.randrange(300, info.vocabulary)]
            uninterrupted = await _greedy(kernel, more, say)
        finally:
            await kernel.close()
        kernel = KernelClient()
        seconds: list[float] = []
        same = True
        try:
            await kernel.load(request)
            for number in range(rounds):
                await kernel.drop("chat")
                began = time.perf_counter()
                await kernel.restore_sequence("chat", state)
                read = time.perf_counter() - began
                resumed = await _greedy(kernel, more, say)
                seconds.append(read + resumed.seconds)
                same = same and resumed.tokens == uninterrupted.tokens and resumed.evaluated < 4
                say(f"{name}, round {number + 1}: state read in {1e3 * read:.0f} ms")
        finally:
            await kernel.close()
    resume = sorted(seconds)[len(seconds) // 2]
    return [
        figure(f"prefill of {tokens} tokens, {name}", first.seconds, "s"),
        figure(f"resume to the first token, {name}", 1e3 * resume, "ms"),
        figure(f"state on disk, {name}", saved / 1e6, "MB"),
        figure(f"prefill to resume, {tokens} tokens, {name}", first.seconds / resume, "ratio", ">=", 20),
        figure(f"greedy continuation identical, {name}", float(same), "yes", ">=", 1),
    ]


def run(
    shapes: str = "135M,1B",
    tokens: int = 4000,
    rounds: int = 5,
    quick: bool = False,
    say: Say = lambda text: None,
    **_: Any,
) -> list[Figure]:
    """Run the benchmark.

    Args:
        shapes: random-weight shapes by comma: ``135M``, ``1B``; ``tiny`` to try the benchmark itself.
        tokens: length of the conversation.
        rounds: how often it is resumed; the median counts. It is evaluated once.
        quick: 1,000 tokens at 135M.
        say: takes progress.

    Raises:
        UserError: an unknown shape, or no tokens.
    """
    if quick:
        shapes, tokens = "135M", 1000
    names = [name.strip() for name in str(shapes).split(",") if name.strip()]
    unknown = [name for name in names if name not in _SHAPES]
    if unknown or not names:
        raise UserError(f"There is no shape {', '.join(unknown) or shapes!r}; there are {', '.join(_SHAPES)}.")
    if int(tokens) < 16 or int(rounds) < 1:
        raise UserError("The conversation needs at least 16 tokens, and it is resumed at least once.")
    figures: list[Figure] = []
    for name in names:
        figures += asyncio.run(_shape(name, int(tokens), int(rounds), say))
    return figures
