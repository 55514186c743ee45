"""Moments in words, in the machine's own time."""

from __future__ import annotations

from datetime import datetime


def day(seconds: float) -> str:
    """Date and time of day, as ``2026-11-30 17:05``."""
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")


def clock(seconds: float) -> str:
    """Time of day, as ``17:05``."""
    return datetime.fromtimestamp(seconds).strftime("%H:%M")
