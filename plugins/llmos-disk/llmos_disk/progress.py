"""How far an index run is, its rate and the time left, as plain figures for every face."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class Progress:
    """Figures of one run; ``done`` and ``total`` are bytes of files, chunks count what was embedded."""

    stage: str = "idle"
    files: int = 0
    files_total: int = 0
    done: int = 0
    total: int = 0
    chunks: int = 0
    current: str = ""
    started: float = field(default_factory=time.monotonic)
    paused_seconds: float = 0.0

    @property
    def seconds(self) -> float:
        """Time worked, pauses left out."""
        return max(time.monotonic() - self.started - self.paused_seconds, 1e-6)

    @property
    def rate(self) -> float:
        """Chunks a second."""
        return self.chunks / self.seconds

    @property
    def seconds_left(self) -> float | None:
        """Estimate by bytes; None before anything was done."""
        if not self.done or self.total <= self.done:
            return 0.0 if self.total and self.done >= self.total else None
        return self.seconds / self.done * (self.total - self.done)

    def line(self) -> str:
        """One line for people."""
        if self.stage in ("idle", "done"):
            return ""
        if self.stage == "scan":
            return f"scanning {self.current}".strip()
        text = f"{self.stage} {self.files:,}/{self.files_total:,} files · {self.rate:.0f} chunks/s"
        left = self.seconds_left
        if left is not None and self.stage == "indexing":
            text += f" · {duration(left)} left"
        return text

    def as_dict(self) -> dict[str, Any]:
        """For ``--json`` and for other processes."""
        values = asdict(self)
        del values["started"]
        return {**values, "seconds": self.seconds, "rate": self.rate, "seconds_left": self.seconds_left}


def duration(seconds: float) -> str:
    """``45 s``, ``3 min``, ``2.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5_400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h"
