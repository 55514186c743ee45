"""What plugin code prints goes to the log, not over the face or into ``--json`` output."""

from __future__ import annotations

import logging
import sys
import threading
from typing import Any, TextIO, cast

_threads = threading.local()
_log = logging.getLogger("llmos.plugins.output")


class _Sorted:
    """Stands in for ``sys.stdout`` or ``sys.stderr``: looks at which thread writes."""

    def __init__(self, inner: TextIO) -> None:
        self._inner = inner

    def write(self, text: str) -> int:
        plugin = getattr(_threads, "plugin", "")
        if not plugin:
            return self._inner.write(text)
        if text.strip():
            _log.info("%s printed: %s", plugin, text.rstrip()[:2000])
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if not getattr(_threads, "plugin", ""):
            self._inner.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def install() -> None:
    """Put the sorting streams in place, once."""
    if not isinstance(sys.stdout, _Sorted) and sys.stdout is not None:
        sys.stdout = cast(TextIO, _Sorted(sys.stdout))
    if not isinstance(sys.stderr, _Sorted) and sys.stderr is not None:
        sys.stderr = cast(TextIO, _Sorted(sys.stderr))


def silence_this_thread(plugin: str) -> None:
    """From now on what this thread prints is the plugin's."""
    _threads.plugin = plugin
