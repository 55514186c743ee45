"""A line for every call of a plugin, for those who write one: ``LLMOS_TRACE_PLUGINS=1``.

Lines go to ``plugins-trace.jsonl`` beside the log (``llmos plugins trace`` prints them); with the
value ``stderr`` they are printed too.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmos.settings import Folders

VARIABLE = "LLMOS_TRACE_PLUGINS"
_LIMIT_BYTES = 5_000_000


def trace_file(folders: Folders) -> Path:
    """Where the lines are."""
    return folders.log / "plugins-trace.jsonl"


class Tracer:
    """Writes trace lines when the environment asks for it; else costs one look at a flag."""

    def __init__(self, folders: Folders) -> None:
        """The variable is read once."""
        value = os.environ.get(VARIABLE, "")
        self.on = value not in ("", "0")
        self._loud = value in ("2", "stderr")
        self._path = trace_file(folders)

    def write(self, plugin: str, where: str, seconds: float, outcome: Any, error: str = "") -> None:
        """One line.

        Args:
            plugin: who was called.
            where: hook, tool, command or panel.
            seconds: how long it took.
            outcome: what it gave; only its kind and size are written, never its text.
            error: what it raised, in one line.
        """
        line = {
            "time": round(time.time(), 3),
            "plugin": plugin,
            "where": where,
            "ms": round(seconds * 1000, 3),
            "result": _shape(outcome),
        }
        if error:
            line["error"] = error
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.exists() and self._path.stat().st_size > _LIMIT_BYTES:
                self._path.replace(self._path.with_suffix(".old.jsonl"))
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
        except OSError:
            self.on = False  # a full disk must not cost the chat
        if self._loud:
            print(format_line(line), file=sys.stderr)


def _shape(outcome: Any) -> str:
    if outcome is None:
        return "none"
    if isinstance(outcome, (list, tuple, dict, str)):
        return f"{type(outcome).__name__}[{len(outcome)}]"
    return type(outcome).__name__


def format_line(line: dict[str, Any]) -> str:
    """A trace line for people."""
    clock = time.strftime("%H:%M:%S", time.localtime(line.get("time", 0)))
    text = f"{clock} {line.get('plugin', ''):<12} {line.get('where', ''):<28} {line.get('ms', 0):>10.2f} ms"
    return f"{text}  {line.get('error') or line.get('result', '')}"


def read_trace(folders: Folders, plugin: str = "", limit: int = 100) -> Iterator[dict[str, Any]]:
    """The last ``limit`` lines, oldest first, of one plugin or all."""
    try:
        lines = trace_file(folders).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    chosen: list[dict[str, Any]] = []
    for text in reversed(lines):
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and (not plugin or line.get("plugin") == plugin):
            chosen.append(line)
            if len(chosen) >= limit:
                break
    yield from reversed(chosen)
