"""``llmos bench stages``: how long a panel takes to open, and to answer a slider."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

from llmos.bench.figures import Figure, figure
from llmos.stages.context import Kernels, make_context
from llmos.stages.frame import Control, StageBase, StageContext, State
from llmos.stages.registry import STAGES, stage
from llmos.types import UserError

Say = Callable[[str], None]
#: Milliseconds within which a panel must be open, and a moved slider answered.
OPEN_LIMIT, MOVE_LIMIT = 300.0, 150.0


def run(
    model: str = "", rounds: int = 5, quick: bool = False, say: Say = lambda text: None, **_: Any
) -> list[Figure]:
    """Run the benchmark.

    Args:
        model: name or path; empty takes the bundled one.
        rounds: repetitions; the median counts.
        quick: three repetitions.
        say: takes progress.
    """
    return asyncio.run(_run(model, 3 if quick else int(rounds), say))


async def _run(model: str, rounds: int, say: Say) -> list[Figure]:
    """As in the Build tab: with a session, its plugins and its embedder."""
    from llmos.conversation.session import open_session

    kernels = Kernels()
    async with open_session() as session:
        try:
            await session.load_model(model, context=2048)
            context = make_context(session.kernel, kernels, session)
            figures: list[Figure] = []
            for entry in STAGES:
                say(f"{entry.title} …")
                figures += await measure(entry.id, context, rounds)
            return figures
        finally:
            await kernels.close()


async def measure(name: str, context: StageContext, rounds: int) -> list[Figure]:
    """Opening of one panel, and every slider of it.

    Args:
        name: of the stage.
        context: with the loaded model.
        rounds: repetitions, each on a fresh stage.
    """

    async def forget() -> None:
        """What an earlier round left in the KV cache would make the next one quicker than a first one."""
        for one in (await context.kernel.stats()).sequences:
            if one.name.startswith("stage"):
                await context.kernel.drop(one.name)

    async def opened() -> None:
        fresh = stage(name)
        await fresh.view(context, fresh.first_state(context))

    figures = [
        figure(f"{name}: opens", await _median_ms(opened, rounds, forget), "ms", "<=", OPEN_LIMIT),
    ]
    shown = stage(name)
    state = shown.first_state(context)
    with contextlib.suppress(UserError):  # without an embedder the panel goes by words
        if await shown.prepare(context):
            figures.append(
                figure(
                    f"{name}: opens, prepared", await _median_ms(opened, rounds, forget), "ms", "<=", OPEN_LIMIT
                )
            )
    await shown.view(context, state)
    for control in shown.controls(context):
        if control.kind == "slider" and control.high > control.low:
            value = await _slider(shown, context, state, control, rounds)
            figures.append(figure(f"{name}: slider {control.id}", value, "ms", "<=", MOVE_LIMIT))
    return figures


async def _slider(
    shown: StageBase, context: StageContext, state: State, control: Control, rounds: int
) -> float:
    """Milliseconds of a move; every move goes to another value than the one before it."""
    places = max(1, round((control.high - control.low) / control.step))
    moves = iter(range(1, 10_000))

    async def moved() -> None:
        value = control.low + (next(moves) % (places + 1)) * control.step
        await shown.view(context, {**state, control.id: value})

    return await _median_ms(moved, rounds)


async def _median_ms(
    work: Callable[[], Awaitable[None]], rounds: int, before: Callable[[], Awaitable[None]] | None = None
) -> float:
    """Median milliseconds of some work; ``before`` runs ahead of each round and is not timed."""
    times = []
    for _ in range(max(1, rounds)):
        if before is not None:
            await before()
        began = time.perf_counter()
        await work()
        times.append((time.perf_counter() - began) * 1000)
    return median(times)
