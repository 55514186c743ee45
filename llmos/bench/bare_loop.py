"""The yardstick: a bare llama_decode loop in a process of its own, without sampling, text or events.

Run as ``python -m llmos.bench.bare_loop MODEL THREADS CONTEXT``. Each line on stdin is a job
``decode PROMPT NEW`` or ``evaluate HISTORY NEW``; the answer is the seconds it took: of NEW
single-token decodes after PROMPT tokens, or of evaluating NEW tokens after HISTORY.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from llmos.kernel.engine import BATCH, Engine


def _fill(engine: Engine, start: int, count: int, chunk: int = 128) -> None:
    """Evaluate ``count`` tokens from position ``start``, the last with logits."""
    for at in range(start, start + count, chunk):
        size = min(chunk, start + count - at)
        engine.decode(
            [
                (20 + position % 200, position, 0, position == start + count - 1)
                for position in range(at, at + size)
            ]
        )


def decode(engine: Engine, prompt: int, new: int) -> float:
    """Seconds of ``new`` single-token decodes after a prompt."""
    engine.clear()
    _fill(engine, 0, prompt)
    c, _, context, _ = engine.handles
    start = time.perf_counter()
    for position in range(prompt, prompt + new):
        engine.decode([(20 + position % 200, position, 0, True)])
        c.llama_get_logits_ith(context, 0)
    return time.perf_counter() - start


def evaluate(engine: Engine, history: int, new: int) -> float:
    """Seconds of evaluating ``new`` tokens when ``history`` tokens are in the cache."""
    if engine.last_position(0) + 1 < history:
        engine.clear()
        _fill(engine, 0, history)
    engine.remove(0, history)
    start = time.perf_counter()
    _fill(engine, history, new)
    return time.perf_counter() - start


def main() -> None:
    """Serve jobs until stdin closes."""
    path, threads, context = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    engine = Engine(path, context=context, threads=threads, max_sequences=10, batch=BATCH)
    print("ready", flush=True)
    for line in sys.stdin:
        kind, first, second = line.split()
        work = {"decode": decode, "evaluate": evaluate}[kind]
        print(work(engine, int(first), int(second)), flush=True)


if __name__ == "__main__":
    main()
