"""``llmos bench code``: what gets out of the sandbox, and what the sandbox costs."""

from __future__ import annotations

import importlib
from dataclasses import asdict
from typing import Any

from llmos.bench.figures import figure, machine
from llmos.types import UserError


def run(quick: bool = False) -> dict[str, Any]:
    """Try every escape and measure every sandbox that holds on this machine.

    Args:
        quick: fewer starts and calls.

    Returns:
        ``figures``, ``machine`` and ``failed`` (what got out, by sandbox and attempt).

    Raises:
        UserError: the code plugin is not installed.
    """
    try:
        plugin: Any = importlib.import_module("llmos_code.bench")
    except ImportError as error:
        raise UserError("The code plugin is not installed; `pip install llmos-code` brings it.") from error
    figures = []
    failed = plugin.escapes()
    for tier, problems in failed.items():
        name = f"{problems['tried']} attempts in {tier} that got out or were not told"
        figures.append(figure(name, len(problems["failed"]), "attempts", "<=", 0))
    for one in plugin.run(*((5, 20) if quick else (15, 50))):
        target = one.get("target")
        if target is None:
            figures.append(figure(one["name"], one["value"], one["unit"]))
        else:
            figures.append(figure(one["name"], one["value"], one["unit"], "<=", target))
    return {
        "figures": [asdict(one) for one in figures],
        "machine": machine(),
        "failed": {tier: problems["failed"] for tier, problems in failed.items()},
    }
