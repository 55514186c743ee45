"""The sandboxes of the open chats: one session a chat, few at a time, started when first used."""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llmos.types import UserError
from llmos_code.handed_files import hand_in
from llmos_code.limits import Cancelled, Limits, Progress, RunResult, SandboxError, Session, Tier
from llmos_code.tiers import Finding, Tiers

MAX_SESSIONS = 4
IDLE_SECONDS = 900.0


@dataclass(slots=True)
class _Desk:
    """A chat's session and the copies of the files that it was handed."""

    folder: Path
    session: Session | None = None
    names: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    used: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Runner:
    """Runs code for chats.

    Args:
        folder: where copies of handed files and results lie.
        limits: of every session.
        tiers: which sandbox to use.
    """

    def __init__(self, folder: Path, limits: Limits, tiers: Tiers) -> None:
        self._folder = folder
        self._limits = limits
        self._tiers = tiers
        self._lock = threading.Lock()
        self._desks: OrderedDict[str, _Desk] = OrderedDict()
        self._probing: threading.Thread | None = None
        self._timer: threading.Timer | None = None
        self._closed = False
        shutil.rmtree(folder / "files", ignore_errors=True)  # left over from a crash

    @property
    def limits(self) -> Limits:
        """Limits of every session."""
        return self._limits

    def run(
        self,
        code: str,
        chat: str = "",
        *,
        seconds: float | None = None,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> RunResult:
        """Run code in the chat's session; a session that has ended is started anew.

        Raises:
            UserError: no sandbox holds on this machine, so nothing was run.
        """
        desk = self._desk(chat)
        with desk.lock:
            if desk.session is None or not desk.session.alive:
                try:
                    desk.session = self._tiers.choose().open(self._limits, desk.folder)
                except SandboxError as error:
                    text = str(error)
                    raise UserError(
                        text
                        if text.startswith("No code is run")
                        else f"No code is run, for the sandbox did not start: {text}."
                    ) from error
            desk.used = time.monotonic()
            limit = min(seconds, self._limits.seconds) if seconds else self._limits.seconds
            result = desk.session.run(code, seconds=limit, progress=progress, cancelled=cancelled)
            desk.used = time.monotonic()
        self._look_later()
        return result

    def hand_in(self, paths: Sequence[Path], chat: str = "") -> list[str]:
        """Copy files for the chat's session; returns the names under ``files``.

        Raises:
            UserError: a file cannot be handed in.
        """
        desk = self._desk(chat)
        names = []
        for path in paths:
            names.append(hand_in(desk.folder, path))
            desk.sources.append(str(path.expanduser().resolve()))
        desk.names += [name for name in names if name not in desk.names]
        return names

    def sources(self, chat: str = "") -> list[str]:
        """Paths of the originals that the chat's session was handed."""
        with self._lock:
            desk = self._desks.get(chat)
        return list(desk.sources) if desk else []

    def reset(self, chat: str = "") -> bool:
        """End the chat's session and forget its files; False when it had none."""
        with self._lock:
            desk = self._desks.pop(chat, None)
        if desk is None:
            return False
        _clear(desk)
        return True

    def close(self) -> None:
        """End every session."""
        with self._lock:
            desks = list(self._desks.values())
            self._desks.clear()
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()
        for desk in desks:
            _clear(desk)

    def tier(self) -> Tier | None:
        """The tier in use, or None while unknown; never waits (starts the probe when needed)."""
        known = self._tiers.known()
        if known is None and self._probing is None:
            self._probing = threading.Thread(target=self._probe, daemon=True, name="code-probe")
            self._probing.start()
        return known

    def status(self) -> str:
        """For the status bar."""
        tier = self.tier()
        if tier is not None:
            return f"code: {tier.name}"
        assert self._probing is not None
        return "" if self._probing.is_alive() else "code: no sandbox"

    def findings(self) -> list[Finding]:
        """What the probe found of every tier."""
        return self._tiers.all()

    def chosen(self) -> Tier:
        """The tier that code runs in.

        Raises:
            SandboxError: none holds.
        """
        return self._tiers.choose()

    def _look_later(self) -> None:
        """Look for idle sessions when the one that was just used could have become one."""
        with self._lock:
            if self._timer is not None or self._closed:
                return
            self._timer = threading.Timer(IDLE_SECONDS, self._end_idle)
            self._timer.daemon = True
            self._timer.start()

    def _end_idle(self) -> None:
        """End the sessions that nobody used for long; look again while there are others."""
        with self._lock:
            self._timer = None
            open_desks = [desk for desk in self._desks.values() if desk.session is not None]
        for desk in open_desks:
            if time.monotonic() - desk.used >= IDLE_SECONDS and desk.lock.acquire(blocking=False):
                try:
                    if desk.session is not None:
                        desk.session.close()
                        desk.session = None
                finally:
                    desk.lock.release()
        if any(desk.session is not None for desk in open_desks):
            self._look_later()

    def _probe(self) -> None:
        try:
            self._tiers.choose()
        except SandboxError:
            return  # the status then says so

    def _desk(self, chat: str) -> _Desk:
        """The chat's desk; the longest unused ones are cleared."""
        with self._lock:
            desk = self._desks.get(chat)
            if desk is None:
                name = hashlib.sha256(chat.encode("utf-8", "replace")).hexdigest()[:16]
                folder = self._folder / "files" / name
                folder.mkdir(parents=True, exist_ok=True)
                desk = self._desks[chat] = _Desk(folder)
            self._desks.move_to_end(chat)
            desk.used = time.monotonic()
            old = [
                key
                for key, other in self._desks.items()
                if other is not desk
                and not other.lock.locked()
                and other.session is not None
                and (time.monotonic() - other.used > IDLE_SECONDS or len(self._desks) > MAX_SESSIONS)
            ]
            # Oldest first; only as many as needed where none is idle.
            extra = max(0, len(self._desks) - MAX_SESSIONS)
            idle = [key for key in old if time.monotonic() - self._desks[key].used > IDLE_SECONDS]
            leaving = [self._desks[key] for key in dict.fromkeys([*idle, *old[:extra]])]
        for other in leaving:
            with other.lock:
                if other.session is not None:
                    other.session.close()
                    other.session = None
        return desk


def _clear(desk: _Desk) -> None:
    if desk.session is not None:
        desk.session.close()
        desk.session = None
    shutil.rmtree(desk.folder, ignore_errors=True)
