"""The face: first paint, keys under load, memory, long chats, cost of a streamed chunk.

Every measurement runs in a process of its own (``llmos.tui.probes``): this layer knows no widgets.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from llmos.bench.figures import Figure, figure
from llmos.types import UserError

Say = Callable[[str], None]
#: Seconds that one probe may take, on a machine that is busy with other things.
_PATIENCE = 900


def probe(name: str, home: str, **options: int) -> dict[str, float]:
    """Run one probe with settings of its own.

    Args:
        name: one of ``llmos.tui.probes.PROBES``.
        home: folder for settings and chats.
        options: whole numbers that the probe takes.

    Raises:
        UserError: it failed; the sentence holds the last line of its output.
    """
    environment = {**os.environ, "LLMOS_HOME": home}
    # As with every start but the first: Python finds the compiled modules.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    words = [f"{key}={value}" for key, value in options.items()]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "llmos.tui.probes", name, *words],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(f"The measurement {name} took longer than {_PATIENCE} s and was ended.") from error
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines:
        reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise UserError(f"The measurement {name} failed: {reason}")
    values: dict[str, float] = json.loads(lines[-1])
    return values


def _paint(home: str, quick: bool, say: Say) -> list[Figure]:
    rounds = 7 if quick else 15
    probe("minimal", home)
    probe("first_paint", home)
    ratios: list[float] = []
    ours: list[float] = []
    theirs: list[float] = []
    before = probe("minimal", home)["seconds"]
    for number in range(rounds):
        mine = probe("first_paint", home)["seconds"]
        after = probe("minimal", home)["seconds"]
        # Beside both neighbours: what else the machine does changes from second to second.
        ratios.append(mine / ((before + after) / 2))
        ours.append(mine)
        theirs.append(after)
        before = after
        say(f"  round {number + 1} of {rounds}: {ratios[-1]:.2f}")
    return [
        Figure("first paint, CPU of a minimal Textual app", statistics.median(theirs) * 1000, "ms"),
        Figure("first paint, CPU", statistics.median(ours) * 1000, "ms"),
        figure("first paint, CPU against a minimal Textual app", statistics.median(ratios), "ratio", "<=", 1.5),
    ]


def _key(home: str, quick: bool, say: Say) -> list[Figure]:
    keys = 100 if quick else 300
    say("  while the kernel writes at full speed (a 15M model with random weights)")
    real = probe("typing_kernel", home, keys=keys)
    say("  while 400 tokens a second come from the face's own process")
    own = probe("typing", home, keys=keys)
    return [
        Figure("key press to paint while the kernel writes, median, by the clock", real["median"], "ms"),
        figure("key press to paint while the kernel writes, p99, by the clock", real["p99"], "ms", "<=", 50),
        figure("key press to paint while the kernel writes, p99, CPU", real["cpu_p99"], "ms", "<=", 50),
        Figure("tokens per second of the kernel meanwhile", real["tokens_per_second"], "tokens/s"),
        Figure("key press to paint, tokens from the same process, p99, by the clock", own["p99"], "ms"),
        figure("key press to paint, tokens from the same process, p99, CPU", own["cpu_p99"], "ms", "<=", 50),
    ]


def _chunks(home: str, quick: bool, say: Say) -> list[Figure]:
    chunks = probe("chunks", home, middle=64 if quick else 4)
    return [
        figure("chunk of a 4,000-token answer, beginning, CPU", chunks["beginning"], "ms", "<=", 10),
        figure("chunk of a 4,000-token answer, end, CPU", chunks["end"], "ms", "<=", 10),
        figure("streamed text equals a full render", chunks["equal"], "1 = yes", ">=", 1),
    ]


def _chats(home: str, quick: bool, say: Say) -> list[Figure]:
    say("  writing 10,000 chats first")
    chats = probe("chats", home)
    return [
        figure("opening a chat of 200 messages, CPU", chats["open_200"], "ms", "<=", 1_000),
        figure("opening a chat of 5,000 messages, CPU", chats["open_5000"], "ms", "<=", 1_500),
        figure("list over 10,000 chats, CPU", chats["list"], "ms", "<=", 200),
        figure("search in 10,000 titles, CPU", chats["search_titles"], "ms", "<=", 200),
        figure("full-text search over 10,000 chats, CPU", chats["search_texts"], "ms", "<=", 200),
        figure("switch among 10,000 chats, CPU", chats["switch"], "ms", "<=", 200),
    ]


def _memory(home: str, quick: bool, say: Say) -> list[Figure]:
    memory = probe("memory", home)
    return [
        figure("memory of the face without the worker", memory["megabytes"], "MB", "<=", 150),
        figure("CPU when nothing happens", memory["idle_percent"], "%", "<=", 1),
    ]


def _slow(home: str, quick: bool, say: Say) -> list[Figure]:
    slow = probe("slow_bytes", home)
    return [figure("terminal bytes for each byte of text, --slow", slow["ratio"], "ratio", "<=", 2)]


#: name -> (what it measures, how).
PARTS: dict[str, tuple[str, Callable[[str, bool, Say], list[Figure]]]] = {
    "paint": ("first paint", _paint),
    "key": ("keys while an answer is written", _key),
    "chunks": ("streamed chunks", _chunks),
    "chats": ("long chats and many chats", _chats),
    "memory": ("memory and idle CPU", _memory),
    "slow": ("bytes in slow mode", _slow),
}


def run(*, quick: bool = False, parts: str = "", say: Say = lambda text: None) -> list[Figure]:
    """Measure the face.

    Args:
        quick: fewer repetitions.
        parts: names of ``PARTS`` separated by commas; empty: all.
        say: takes a line on what is being measured.

    Returns:
        Figures with their targets. Times called CPU are those of the process (all its threads): on
        a machine that does other things too, the clock measures those. The first paint is a ratio
        to a minimal Textual app measured in turn with it, for the same reason.

    Raises:
        UserError: there is no such part.
    """
    wanted = [part.strip() for part in parts.split(",") if part.strip()] or list(PARTS)
    for part in wanted:
        if part not in PARTS:
            raise UserError(f"The face has no part {part!r} to measure; there are: {', '.join(PARTS)}.")
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="llmos-bench-") as home:
        for number, part in enumerate(wanted, 1):
            title, measure = PARTS[part]
            say(f"{number}/{len(wanted)} {part}: {title}")
            began = time.monotonic()
            try:
                found = measure(home, quick, say)
            except UserError as error:
                # What else was measured is not lost with it.
                say(f"  {error}")
                found = [figure(f"{title}: measured", 0, "1 = yes", ">=", 1)]
            say("  " + "; ".join(f"{one.name}: {one.value:.3g} {one.unit}" for one in found))
            say(f"  {time.monotonic() - began:.0f} s")
            figures += found
    return figures
