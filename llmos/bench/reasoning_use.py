"""The mode as a person uses it: is the time kept, does a stop answer soon, is a greeting not slowed?

The whole conversation path runs, store and plugin included. Votes are kept open by a confidence
that word problems never reach, so that it is the time that ends them.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmos.bench.figures import Figure, figure
from llmos.bench.reasoning_items import Item, make_items
from llmos.conversation.session import Session, open_session
from llmos.settings import Folders, Settings
from llmos.types import PluginEvent, TextDelta, TurnDone

_GREETING = "hello"
_UNREACHABLE = 0.999
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn: its seconds, seconds to the first text, and the last report of the vote."""

    seconds: float
    first_text: float
    report: Mapping[str, Any]


@asynccontextmanager
async def _session(model: str, folder: Path, *, plugin: bool, **options: Any) -> AsyncIterator[Session]:
    settings = Settings()
    settings.model.name = model
    settings.chat.titles = "off"
    settings.plugins.disabled = ["disk", "web", "ram", "mcp", "code", *([] if plugin else ["reason"])]
    settings.plugins.options["reason"] = options
    where = Folders(folder / "config", folder / "data", folder / "cache", folder / "log")
    async with open_session(settings, face="test", where=where) as session:
        await session.load_model()
        yield session


async def _turn(session: Session, text: str, *, stop_after: float = 0.0, **options: Any) -> Turn:
    """One turn in a chat of its own; ``stop_after`` seconds the user wants the answer."""
    chat = session.conversation()
    began, first, stopped = time.perf_counter(), 0.0, 0.0
    report: dict[str, Any] = {}

    async def press() -> None:
        nonlocal stopped
        await asyncio.sleep(stop_after)
        stopped = time.perf_counter()
        chat.stop()

    pressing = asyncio.create_task(press()) if stop_after else None
    async for event in chat.send(text, options=options):
        if isinstance(event, TextDelta) and not first:
            first = time.perf_counter()
        elif isinstance(event, PluginEvent):
            report = dict(event.data)
        elif isinstance(event, TurnDone):
            break
    ended = time.perf_counter()
    if pressing is not None:
        pressing.cancel()
        await asyncio.wait({pressing})
    since = stopped or began
    await session.leave(chat.chat_id)
    return Turn(ended - since, (first or ended) - since, report)


async def _time_kept(
    session: Session, items: Sequence[Item], allowed: Sequence[float], say: Say
) -> list[Figure]:
    figures = []
    for seconds in allowed:
        ratios = []
        for item in items:
            turn = await _turn(session, item.question, think=f"{seconds:g} s")
            if turn.report.get("confidence", 0.0) < _UNREACHABLE and len(turn.report.get("tries", ())) < 128:
                ratios.append(turn.seconds / seconds)
        say(f"{seconds:g} s allowed: {', '.join(f'{ratio:.2f}' for ratio in ratios)}")
        if ratios:
            name = f"{seconds:g} s allowed: spent to allowed"
            figures += [
                figure(f"{name}, most of {len(ratios)}", max(ratios), "ratio", "<=", 1.1),
                figure(f"{name}, least", min(ratios), "ratio", ">=", 0.9),
            ]
    return figures


async def _stops(session: Session, items: Sequence[Item], say: Say) -> list[Figure]:
    waits = []
    for number, item in enumerate(items):
        after = 0.1 + 0.3 * number
        turn = await _turn(session, item.question, stop_after=after, think="60 s")
        waits.append(turn.seconds)
    say(f"stop to the end of the answer: {', '.join(f'{wait:.2f} s' for wait in waits)}")
    return [figure(f"stop to the end of the answer, most of {len(waits)}", max(waits), "s", "<=", 1.0)]


async def _greeting(model: str, folder: Path, rounds: int, say: Say) -> list[Figure]:
    """Time of a greeting with the plugin on and effort set, to the same without the plugin."""
    async with (
        _session(model, folder / "with", plugin=True, effort="30 s") as with_it,
        _session(model, folder / "without", plugin=False) as without,
    ):
        how: dict[str, Any] = {"temperature": 0.0, "tool_rounds": 0}
        times: dict[Session, list[float]] = {with_it: [], without: []}
        for number in range(rounds + 1):
            for session in (with_it, without) if number % 2 else (without, with_it):
                turn = await _turn(session, _GREETING, **how)
                if number:  # the first one warms up
                    times[session].append(turn.seconds)
    mine, plain = statistics.median(times[with_it]), statistics.median(times[without])
    say(f"greeting: {1e3 * mine:.0f} ms with the plugin, {1e3 * plain:.0f} ms without")
    return [figure("greeting with the plugin to without", mine / plain, "ratio", "<=", 1.2)]


async def measure(model: str, allowed: Sequence[float], rounds: int, say: Say) -> list[Figure]:
    """All of it.

    Args:
        model: name or path; empty takes the bundled one.
        allowed: seconds that turns are given.
        rounds: turns of each kind.
        say: takes progress.
    """
    problems = [item for item in make_items(5 * rounds, seed=77) if item.kind == "word problems"]
    with tempfile.TemporaryDirectory(prefix="llmos-reasoning-") as name:
        folder = Path(name)
        async with _session(model, folder / "use", plugin=True, confidence=_UNREACHABLE) as session:
            await _turn(session, problems[0].question, think="1 s")  # warms up
            figures = await _time_kept(session, problems, allowed, say)
            figures += await _stops(session, problems, say)
        return figures + await _greeting(model, folder, 4 * rounds, say)
