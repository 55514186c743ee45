"""What a benchmark gives back: named figures with their targets, and the machine they are from."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    Attributes:
        name: what was measured.
        value: the number.
        unit: ``ratio``, ``ms``, ``tokens/s``, ``MB`` …
        target: in words, for example ``>= 0.95``; empty for a number that is only told.
        ok: whether the target is met; True when there is none.
    """

    name: str
    value: float
    unit: str
    target: str = ""
    ok: bool = True


def figure(
    name: str, value: float, unit: str, relation: Literal[">=", "<=", ""] = "", limit: float = 0.0
) -> Figure:
    """A figure whose ``ok`` follows from its target.

    Args:
        name: what was measured.
        value: the number.
        unit: its unit.
        relation: how it must stand to the limit; empty for no target.
        limit: the target.
    """
    if not relation:
        return Figure(name, value, unit)
    ok = value >= limit if relation == ">=" else value <= limit
    return Figure(name, value, unit, f"{relation} {limit:g}", ok)


def machine() -> dict[str, Any]:
    """The machine in a few facts: processor, cores, memory, system, versions, load."""
    import psutil

    return {
        "processor": _processor(),
        "cores": psutil.cpu_count(logical=False) or 0,
        "cpus": os.cpu_count() or 0,
        "memory_bytes": int(psutil.virtual_memory().total),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "llama_cpp_python": _version("llama-cpp-python"),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else 0.0,
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def as_json(figures: Sequence[Figure]) -> str:
    """``{"figures": [...], "machine": {...}}`` as one line."""
    return json.dumps({"figures": [asdict(one) for one in figures], "machine": machine()})


def as_table(figures: Sequence[Figure]) -> str:
    """The figures as aligned text."""
    rows = []
    for one in figures:
        verdict = "" if not one.target else "ok" if one.ok else "missed"
        rows.append((one.name, _number(one.value), one.unit, one.target, verdict))
    head = ("figure", "value", "unit", "target", "")
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(5)]
    lines = []
    for row in [head, *rows]:
        cells = [row[0].ljust(widths[0]), row[1].rjust(widths[1])]
        cells += [row[at].ljust(widths[at]) for at in range(2, 5)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}"


def print_table(figures: Sequence[Figure]) -> None:
    """Print the table and the machine under it."""
    facts = machine()
    print(as_table(figures))
    print(
        f"\n{facts['processor']}, {facts['cpus']} CPUs, load {facts['load']}, "
        f"llama-cpp-python {facts['llama_cpp_python']}"
    )
