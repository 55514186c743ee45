"""Faults of plugins: named, counted, and after three the plugin is set aside."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from llmos.plugins.workers import Crowded, Exited, TooSlow

#: After this many faults a plugin is set aside until the user puts it back.
LIMIT = 3

_REMOTE = {"ProcessDied": "died", "PluginError": "exception", "ImportFailed": "import"}

_log = logging.getLogger("llmos.plugins")


@dataclass(frozen=True, slots=True)
class Fault:
    """One failure of a plugin.

    Attributes:
        plugin: whose.
        where: the hook, tool, command or panel.
        kind: ``exception``, ``exit``, ``slow``, ``wrong type``, ``import``, ``died`` or ``crowded``.
        text: what happened, in one line.
        time: seconds since the epoch.
    """

    plugin: str
    where: str
    kind: str
    text: str
    time: float = field(default_factory=time.time)

    def __str__(self) -> str:
        """One line for the user."""
        return f"The plugin {self.plugin} failed in {self.where}: {self.text}"


def describe(error: BaseException) -> tuple[str, str]:
    """Kind and one line of what a plugin raised."""
    from llmos.plugins.session import WrongType

    if isinstance(error, TooSlow):
        return "slow", str(error)
    if isinstance(error, Exited):
        return "exit", str(error)
    if isinstance(error, Crowded):
        return "crowded", str(error)
    if isinstance(error, WrongType):
        return "wrong type", str(error)
    name = type(error).__name__
    if name in _REMOTE:  # their text already names what was raised over there
        return _REMOTE[name], str(error)
    kind = "import" if isinstance(error, (ImportError, SyntaxError)) else "exception"
    try:
        text = " ".join(str(error).split())[:300]
    except Exception:  # a plugin's exception may fail even at this
        text = ""
    return kind, f"{name}: {text}" if text else name


class FaultLog:
    """All faults of this run.

    Args:
        notify: told one line for each.
        set_aside: called with the plugin's name when it has used up its chances.
    """

    def __init__(self, notify: Callable[[str, str], None], set_aside: Callable[[str], None]) -> None:
        """See the class."""
        self._notify = notify
        self._set_aside = set_aside
        self._faults: dict[str, list[Fault]] = {}

    def add(self, plugin: str, where: str, error: BaseException) -> Fault:
        """Count a fault, log it with its traceback, tell the user, set the plugin aside after three."""
        kind, text = describe(error)
        fault = Fault(plugin, where, kind, text)
        mine = self._faults.setdefault(plugin, [])
        mine.append(fault)
        details = "".join(traceback.format_exception(error)) if kind == "exception" else ""
        _log.warning("%s (%s, %d of %d)\n%s", fault, kind, len(mine), LIMIT, details)
        if len(mine) == LIMIT:
            self._set_aside(plugin)
            self._notify(
                f"{fault}. That was fault {LIMIT} of {LIMIT}: it is set aside; "
                f"`llmos plugins enable {plugin}` or the plugins screen puts it back.",
                "error",
            )
        elif len(mine) < LIMIT:
            self._notify(f"{fault} (fault {len(mine)} of {LIMIT}; the chat goes on)", "warning")
        return fault

    def of(self, plugin: str) -> tuple[Fault, ...]:
        """Faults of one plugin, oldest first."""
        return tuple(self._faults.get(plugin, ()))

    def forgive(self, plugin: str) -> None:
        """Start counting anew."""
        self._faults.pop(plugin, None)
