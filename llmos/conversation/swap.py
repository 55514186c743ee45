"""KV states of chats on disk: written when a chat is left, read back when it is opened.

A state is only ever a shortcut: the kernel checks it against model, template and tokens, and what
does not fit is evaluated anew. So faults here are logged and forgotten.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from llmos.kernel.protocol import Kernel, KernelError
from llmos.types import Notice

_log = logging.getLogger(__name__)

#: A half-written state that is older than this is nobody's any more.
_PART_SECONDS = 3600.0
#: Shorter states are evaluated faster than they are read.
LEAST_TOKENS = 128


class Swap:
    """The folder of saved states, with a cap on its size, least recently used first.

    Args:
        folder: where the files are; made when needed.
        megabytes: most space they take together; 0 keeps none.
        tell: takes one line for the person where a state could not be written.
    """

    def __init__(
        self, folder: Path, megabytes: int, tell: Callable[[Notice], None] = lambda notice: None
    ) -> None:
        self.folder = folder
        self.limit = megabytes * 1_000_000
        self._tell = tell
        self._told = ""

    def path(self, kernel: Kernel, chat_id: str) -> Path:
        """The file of a chat's state under the loaded model."""
        model = kernel.model
        key = (model.sha256_head[:12] or model.name) if model else "none"
        safe = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in key)
        return self.folder / f"{chat_id}-{safe}.kv"

    async def save(self, kernel: Kernel, sequence: str, chat_id: str, *, keep: bool = False) -> int:
        """Write a chat's state and free its sequence; returns bytes written, 0 when not worth it.

        Args:
            kernel: holds the sequence.
            sequence: its name.
            chat_id: the chat.
            keep: leave the sequence in the kernel.
        """
        if not self.limit or kernel.model is None:
            return 0
        try:
            held = {one.name: one for one in (await kernel.stats()).sequences}
            written = 0
            if sequence in held and held[sequence].tokens >= LEAST_TOKENS:
                self.folder.mkdir(parents=True, exist_ok=True)
                written = await kernel.save_sequence(sequence, self.path(kernel, chat_id))
                self.trim()
                self._told = ""
            if sequence in held and not keep:
                await kernel.drop(sequence)
            return written
        except (KernelError, OSError) as error:
            _log.warning("the state of chat %s was not saved: %s", chat_id, error)
            self._say_failed(error)
            return 0

    def _say_failed(self, error: KernelError | OSError) -> None:
        """Tell why, in one line; the same reason is told again only after a save that worked."""
        reason = str(error) if isinstance(error, KernelError) else f"{self.folder}: {error.strerror or error}"
        if reason != self._told:
            self._told = reason
            self._tell(
                Notice(
                    f"The chat's cache state was not kept ({reason.rstrip('.')}); no message is lost, "
                    "but coming back to the chat takes longer.",
                    "warning",
                )
            )

    def saved(self, kernel: Kernel, chat_id: str) -> tuple[int, float]:
        """(bytes, time of writing) of a chat's state on disk under the loaded model; zeros for none.

        With no model loaded: of the newest state under any model.
        """
        paths = [self.path(kernel, chat_id)] if kernel.model else sorted(self.folder.glob(f"{chat_id}-*.kv"))
        found: list[tuple[float, int]] = []
        for path in paths:
            with contextlib.suppress(OSError):
                stat = path.stat()
                found.append((stat.st_mtime, stat.st_size))
        at, size = max(found, default=(0.0, 0))
        return size, at

    async def restore(self, kernel: Kernel, sequence: str, chat_id: str) -> int:
        """Read a chat's state back; returns tokens restored, 0 for none."""
        if kernel.model is None:
            return 0
        path = self.path(kernel, chat_id)
        try:
            if not path.exists():
                return 0
            os.utime(path)
            restored = await kernel.restore_sequence(sequence, path)
            if not restored:
                path.unlink(missing_ok=True)
            return restored
        except (KernelError, OSError) as error:
            _log.warning("the state of chat %s was not restored: %s", chat_id, error)
            return 0

    def forget(self, chat_id: str) -> None:
        """Delete the states of a chat."""
        for path in self.folder.glob(f"{chat_id}-*.kv"):
            with contextlib.suppress(OSError):
                path.unlink()

    def trim(self) -> None:
        """Delete the states used longest ago until the rest is within the cap.

        What a kill left half-written goes too.
        """
        for path in self.folder.glob("*.kv.*.part"):
            with contextlib.suppress(OSError):
                if not _being_written(path):
                    path.unlink()
        found = []
        for path in self.folder.glob("*.kv"):
            with contextlib.suppress(OSError):
                stat = path.stat()
                found.append((stat.st_mtime, stat.st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= self.limit:
                break
            with contextlib.suppress(OSError):
                path.unlink()
                total -= size


def _being_written(part: Path) -> bool:
    """Whether the process that a half-written state names is there, and wrote to it today."""
    import psutil

    number = part.name.rsplit(".", 2)[1]
    recent = time.time() - part.stat().st_mtime < _PART_SECONDS
    return number.isdigit() and recent and psutil.pid_exists(int(number))
