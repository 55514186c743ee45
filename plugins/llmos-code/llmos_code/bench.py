"""Figures of the code plugin: what gets out, how long a start and a call in a running sandbox take.

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
Opener = Callable[[Limits, Path], Session]


def _bare(limits: Limits, files: Path) -> Session:
    """The guest without a sandbox: only for comparing; it is given nothing but the line above."""
    launch = Launch(
        command=[str(interpreter().executable), "-I", "-S", "-B", str(guest_file())],
        config={"folder": str(files), "limits": {}, "count_tasks": False, "packages": [], "rules": []},
        environment={},
    )
    return ProcessSession("none", launch, limits, lambda: None)


def _start(opener: Opener, files: Path) -> float:
    """Milliseconds until a new session answers."""
    at = time.perf_counter()
    session = opener(Limits(), files)
    spent = (time.perf_counter() - at) * 1e3
    session.close()
    return spent


def _call(session: Session) -> float:
    """Milliseconds of a call in a running session."""
    at = time.perf_counter()
    result = session.run(_CODE, seconds=10.0)
    spent = (time.perf_counter() - at) * 1e3
    if result.value != "1517":
        raise RuntimeError(f"the sandbox computed {result.value or result.error!r}, not 1517")
    return spent


def run(starts: int = 15, calls: int = 50) -> list[dict[str, Any]]:
    """Measure every tier that holds on this machine.

    The bare interpreter and the tiers take turns, so that what else the machine does falls on all.

    Args:
        starts: sessions started a tier.
        calls: calls in a running session.

    Returns:
        Figures: ``name``, ``value`` (median), ``unit``, ``lower`` and ``upper`` (10th and 90th
        percentile), ``samples`` and, where there is one, ``target`` (the most that it may be).
    """
    openers: dict[str, Opener] = {"interpreter": _bare}
    openers |= {tier.name: tier.open for tier in TIERS if not probe(tier).problem}
    begin: dict[str, list[float]] = {name: [] for name in openers}
    warm: dict[str, list[float]] = {name: [] for name in openers}
    with tempfile.TemporaryDirectory(prefix="llmos-bench-") as folder:
        files = Path(folder)
        for _ in range(starts + 1):
            for name, opener in openers.items():
                begin[name].append(_start(opener, files))
        sessions = {name: opener(Limits(), files) for name, opener in openers.items()}
        for _ in range(calls + 1):
            for name, session in sessions.items():
                warm[name].append(_call(session))
        for session in sessions.values():
            session.close()
    figures: list[dict[str, Any]] = []
    for name in openers:
        # The first of each warms the file cache.
        first, later = begin[name][1:], warm[name][1:]
        if name == "interpreter":
            figures += [_figure("code.interpreter.start", first), _figure("code.interpreter.call", later)]
            continue
        figures.append(_figure(f"code.{name}.start", first, 40.0))
        figures.append(_figure(f"code.{name}.start_over_interpreter", _over(first, begin["interpreter"][1:])))
        figures.append(_figure(f"code.{name}.call", later))
        figures.append(
            _figure(f"code.{name}.call_over_interpreter", _over(later, warm["interpreter"][1:]), 10.0)
        )
    return figures


def escapes() -> dict[str, dict[str, Any]]:
    """Try to get out of every tier that holds here.

    Returns:
        By tier: ``tried``, the number of attempts, and ``failed``, what is wrong by attempt.
    """
    from llmos_code.escapes import Trials, attempts, outside

    chosen = [attempt for attempt in attempts() if attempt.here]
    report: dict[str, dict[str, Any]] = {}
    with outside() as place:
        for tier in TIERS:
            if probe(tier).problem:
                continue
            trials = Trials(tier, place)
            verdicts = {attempt.name: trials.verdict(attempt, trials.run(attempt)) for attempt in chosen}
            trials.close()
            wrong = {name: verdict for name, verdict in verdicts.items() if verdict}
            report[tier.name] = {"tried": len(verdicts), "failed": wrong}
    return report


def _over(values: list[float], bare: list[float]) -> list[float]:
    return [value - base for value, base in zip(values, bare, strict=True)]


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
