"""What the conformance kit found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: ``fail`` breaks the promise of the manifest or the hooks; ``warn`` is worth a look.
        rule: which part: manifest, import, tools, commands, panels, context, faults, needs, stop.
        text: what was seen, in words.
    """

    level: Level
    rule: str
    text: str


@dataclass(slots=True)
class Report:
    """All findings on one plugin."""

    plugin: str
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """True when nothing failed."""
        return all(one.level != "fail" for one in self.findings)

    def add(self, level: Level, rule: str, text: str) -> None:
        """One more finding."""
        self.findings.append(Finding(level, rule, text))
