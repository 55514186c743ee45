"""Leaves an engine alone for a while after it failed, longer each time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from llmos.plugins.host_api import Store

#: First pause in seconds by kind of failure; it doubles with every further one.
_FIRST = {"blocked": 600.0, "busy": 120.0, "slow": 60.0, "odd": 60.0}
LONGEST = 6 * 3600.0


class Pauses:
    """Pauses of engines, kept over restarts.

    Args:
        store: the plugin's store.
        now: the clock.
    """

    def __init__(self, store: Store, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now

    def until(self, engine: str) -> float:
        """When the engine may be asked again, in seconds since the epoch; 0 when it may now."""
        until = float(self._entry(engine).get("until", 0.0))
        return until if until > self._now() else 0.0

    def failed(self, engine: str, kind: str, retry_after: float = 0.0) -> None:
        """Note a failure; ``unreachable`` is the network's fault and pauses nobody."""
        if kind not in _FIRST:
            return
        failures = int(self._entry(engine).get("failures", 0)) + 1
        pause = max(retry_after, _FIRST[kind] * 2 ** min(failures - 1, 12))
        entry = {"until": self._now() + min(pause, LONGEST), "failures": failures, "kind": kind}
        self._store.set(f"pause:{engine}", entry)

    def answered(self, engine: str) -> None:
        """Forget earlier failures."""
        if self._entry(engine):
            self._store.delete(f"pause:{engine}")

    def clear(self) -> None:
        """Forget every failure."""
        for key in self._store.keys("pause:"):
            self._store.delete(key)

    def _entry(self, engine: str) -> dict[str, Any]:
        entry = self._store.get(f"pause:{engine}", {})
        return entry if isinstance(entry, dict) else {}
