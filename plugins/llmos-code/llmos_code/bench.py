"""Figures of the code plugin: how long a sandbox takes to start, and a call in a running one.

Each is set beside the bare interpreter: the same guest, started and called without a sandbox.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llmos_code.interpreter import interpreter
from llmos_code.limits import Limits, Session
from llmos_code.process import Launch, ProcessSession, guest_file
from llmos_code.tiers import TIERS, probe

_CODE = "37 * 41"


def _bare(limits: Limits, files: Path) -> Session:
    """The guest without a sandbox: only for comparing; it is given nothing but the line above."""
    launch = Launch(
        command=[str(interpreter().executable), "-I", "-S", "-B", str(guest_file())],
        config={"folder": str(files), "limits": {}, "count_tasks": False, "packages": [], "rules": []},
        environment={},
    )
    return ProcessSession("none", launch, limits, lambda: None)


def _measure(
    opener: Callable[[Limits, Path], Session], files: Path, starts: int, calls: int
) -> tuple[list[float], list[float]]:
    """Milliseconds of starting with the first call, and of a call in a running session."""
    begin, warm = [], []
    for _ in range(starts + 1):
        at = time.perf_counter()
        session = opener(Limits(), files)
        begin.append((time.perf_counter() - at) * 1e3)
        session.close()
    session = opener(Limits(), files)
    for _ in range(calls + 1):
        at = time.perf_counter()
        result = session.run(_CODE, seconds=10.0)
        warm.append((time.perf_counter() - at) * 1e3)
        if result.value != "1517":
            raise RuntimeError(f"the sandbox computed {result.value or result.error!r}, not 1517")
    session.close()
    return begin[1:], warm[1:]  # the first of each warms the file cache


def run(starts: int = 15, calls: int = 50) -> list[dict[str, Any]]:
    """Measure every tier that holds on this machine.

    Args:
        starts: sessions started a tier.
        calls: calls in a running session.

    Returns:
        Figures: ``name``, ``value``, ``unit``, ``lower``/``upper`` (10th and 90th percentile),
        ``samples`` and, where there is one, ``target``.
    """
    figures: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="llmos-bench-") as name:
        files = Path(name)
        bare_start, bare_call = _measure(_bare, files, starts, calls)
        figures.append(_figure("code.interpreter.start", bare_start))
        figures.append(_figure("code.interpreter.call", bare_call))
        for tier in TIERS:
            if probe(tier).problem:
                continue
            begin, warm = _measure(tier.open, files, starts, calls)
            figures.append(_figure(f"code.{tier.name}.start", begin, target=40.0))
            base = statistics.median(bare_call)
            figures.append(_figure(f"code.{tier.name}.call", warm))
            over = [value - base for value in warm]
            figures.append(_figure(f"code.{tier.name}.call_over_interpreter", over, target=10.0))
    return figures


def _figure(name: str, values: list[float], target: float | None = None) -> dict[str, Any]:
    ordered = sorted(values)
    figure: dict[str, Any] = {
        "name": name,
        "value": round(statistics.median(ordered), 3),
        "unit": "ms",
        "lower": round(ordered[len(ordered) // 10], 3),
        "upper": round(ordered[(len(ordered) * 9) // 10], 3),
        "samples": len(ordered),
    }
    if target is not None:
        figure["target"] = target
    return figure
