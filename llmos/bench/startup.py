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
from collections.abc import Callable

from llmos.bench.figures import Figure, figure
from llmos.types import UserError


def probe(name: str, home: str) -> dict[str, float]:
    """Run one probe with settings of its own.

    Raises:
        UserError: it failed; the sentence holds the last line of its output.
    """
    environment = {**os.environ, "LLMOS_HOME": home}
    done = subprocess.run(
        [sys.executable, "-m", "llmos.tui.probes", name],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines:
        reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise UserError(f"The measurement {name} failed: {reason}")
    values: dict[str, float] = json.loads(lines[-1])
    return values


def run(*, quick: bool = False, say: Callable[[str], None] = lambda text: None) -> list[Figure]:
    """Measure the face.

    Args:
        quick: fewer repetitions.
        say: takes a line on what is being measured.

    Returns:
        Figures with their targets. Times that are judged are CPU times of the process (all its
        threads): on a machine that does other things too, the clock measures those. The first
        paint is a ratio to a minimal Textual app measured in turn with it, for the same reason.
    """
    with tempfile.TemporaryDirectory(prefix="llmos-bench-") as home:
        say("first paint")
        ours: list[float] = []
        theirs: list[float] = []
        for _ in range(3 if quick else 9):
            theirs.append(probe("minimal", home)["seconds"])
            ours.append(probe("first_paint", home)["seconds"])
        paint, minimal = statistics.median(ours), statistics.median(theirs)
        say("keys while text streams")
        typing = probe("typing", home)
        say("streamed chunks")
        chunks = probe("chunks", home)
        say("long chats and many chats")
        chats = probe("chats", home)
        say("memory and idle CPU")
        memory = probe("memory", home)
        say("bytes in slow mode")
        slow = probe("slow_bytes", home)
    return [
        Figure("first paint, CPU of a minimal Textual app", minimal * 1000, "ms"),
        Figure("first paint, CPU", paint * 1000, "ms"),
        figure("first paint, CPU against a minimal Textual app", paint / minimal, "ratio", "<=", 1.5),
        Figure("key press to paint while streaming, median, by the clock", typing["median"], "ms"),
        Figure("key press to paint while streaming, p99, by the clock", typing["p99"], "ms"),
        figure("key press to paint while streaming, p99, CPU", typing["cpu_p99"], "ms", "<=", 50),
        figure("chunk of a 4,000-token answer, beginning, CPU", chunks["beginning"], "ms", "<=", 10),
        figure("chunk of a 4,000-token answer, end, CPU", chunks["end"], "ms", "<=", 10),
        figure("streamed text equals a full render", chunks["equal"], "1 = yes", ">=", 1),
        figure("opening a chat of 200 messages, CPU", chats["open_200"], "ms", "<=", 1_000),
        figure("opening a chat of 5,000 messages, CPU", chats["open_5000"], "ms", "<=", 1_500),
        figure("list over 10,000 chats, CPU", chats["list"], "ms", "<=", 200),
        figure("search in 10,000 titles, CPU", chats["search_titles"], "ms", "<=", 200),
        figure("full-text search over 10,000 chats, CPU", chats["search_texts"], "ms", "<=", 200),
        figure("switch among 10,000 chats, CPU", chats["switch"], "ms", "<=", 200),
        figure("memory of the face without the worker", memory["megabytes"], "MB", "<=", 150),
        figure("CPU when nothing happens", memory["idle_percent"], "%", "<=", 1),
        figure("terminal bytes for each byte of text, --slow", slow["ratio"], "ratio", "<=", 2),
    ]
