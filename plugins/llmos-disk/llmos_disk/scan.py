"""Walking a folder: what is there, what is left out and why. Paths are bytes, as the system has them."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from llmos_disk.records import Seen

#: Folders that hold what programs made.
_SKIPPED_FOLDERS = frozenset(
    (
        *(b"node_modules", b"__pycache__", b"site-packages", b"venv", b"target", b"dist-packages"),
        *(b"bower_components", b"__pypackages__", b"$RECYCLE.BIN", b"System Volume Information"),
    )
)


@dataclass(slots=True)
class Limits:
    """What a scan takes in.

    Attributes:
        max_bytes: larger files are skipped unread.
        max_depth: folders below the one that was added.
        max_files: most files of one folder.
        hidden: take files and folders whose names begin with a dot.
    """

    max_bytes: int = 50_000_000
    max_depth: int = 40
    max_files: int = 500_000
    hidden: bool = False


@dataclass(slots=True)
class Found:
    """What a scan saw.

    Attributes:
        files: regular files to index.
        skipped: files and folders that are told to the user, with the reason.
        ignored: how many were left out silently (.gitignore, hidden, made by programs).
        unsure: folders that could not be read; what was indexed below them is kept.
    """

    files: list[Seen] = field(default_factory=list)
    skipped: list[tuple[Seen, str]] = field(default_factory=list)
    ignored: int = 0
    unsure: list[bytes] = field(default_factory=list)


def seen_of(path: bytes, state: os.stat_result) -> Seen:
    """A file's state as the database keeps it."""
    return Seen(path, state.st_size, state.st_mtime_ns, state.st_ino & (2**63 - 1), state.st_dev & (2**63 - 1))


def scan(
    root: bytes,
    limits: Limits,
    *,
    elsewhere: Collection[bytes] = (),
    cancelled: Callable[[], bool] = lambda: False,
) -> Found:
    """Everything below a folder, or one file. Links are never followed, so there are no loops.

    Args:
        root: absolute path of a folder or file.
        limits: what to take in.
        elsewhere: folders below that were added by themselves, with labels of their own.
        cancelled: asked now and then; the scan then ends early and must not be used for deletions.

    Raises:
        OSError: the root itself cannot be read.
    """
    found = Found()
    state = os.stat(root)
    if not stat.S_ISDIR(state.st_mode):
        _take(found, root, state, limits)
        return found
    others = frozenset(elsewhere)
    stack: list[tuple[bytes, int, tuple[tuple[int, Any], ...]]] = [(root, 0, ())]
    while stack:
        if cancelled():
            found.unsure.append(root)
            break
        folder, depth, rules = stack.pop()
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            if depth == 0:
                raise
            found.unsure.append(folder)
            found.skipped.append((Seen(folder, 0, 0, 0, 0), f"cannot be opened ({error.strerror})"))
            continue
        if any(entry.name == b".gitignore" for entry in entries):
            spec = _gitignore(os.path.join(folder, b".gitignore"))
            if spec is not None:
                rules = (*rules, (len(folder) + (not folder.endswith(b"/")), spec))
        for entry in entries:
            if len(found.files) >= limits.max_files:
                found.skipped.append((Seen(folder, 0, 0, 0, 0), f"holds more than {limits.max_files:,} files"))
                found.unsure.append(root)
                return found
            _look(entry, depth, rules, limits, others, found, stack)
    return found


def _look(
    entry: os.DirEntry[bytes],
    depth: int,
    rules: tuple[tuple[int, Any], ...],
    limits: Limits,
    others: frozenset[bytes],
    found: Found,
    stack: list[tuple[bytes, int, tuple[tuple[int, Any], ...]]],
) -> None:
    name, path = entry.name, entry.path
    if name.startswith(b".") and not limits.hidden:
        found.ignored += 1
        return
    try:
        state = entry.stat(follow_symlinks=False)
    except OSError as error:
        found.skipped.append((Seen(path, 0, 0, 0, 0), f"cannot be looked at ({error.strerror})"))
        found.unsure.append(path)
        return
    folder = stat.S_ISDIR(state.st_mode)
    if rules and _is_ignored(path, folder, rules):
        found.ignored += 1
        return
    if folder:
        if name in _SKIPPED_FOLDERS:
            found.ignored += 1
        elif path in others:
            pass
        elif depth + 1 > limits.max_depth:
            found.skipped.append(
                (Seen(path, 0, 0, 0, 0), f"lies deeper than {limits.max_depth} folders below the one added")
            )
        else:
            stack.append((path, depth + 1, rules))
        return
    if stat.S_ISLNK(state.st_mode):
        found.ignored += 1
        return
    _take(found, path, state, limits)


def _take(found: Found, path: bytes, state: os.stat_result, limits: Limits) -> None:
    seen = seen_of(path, state)
    if not stat.S_ISREG(state.st_mode):
        found.skipped.append((seen, "is no regular file but " + _nature(state.st_mode)))
    elif state.st_size > limits.max_bytes:
        size, most = state.st_size / 1e6, limits.max_bytes / 1e6
        found.skipped.append((seen, f"is larger ({size:,.0f} MB) than the limit of {most:,.0f} MB"))
    else:
        found.files.append(seen)


def _nature(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "a pipe"
    if stat.S_ISSOCK(mode):
        return "a socket"
    return "a device"


def _gitignore(file: bytes) -> Any:
    """Parsed rules of a .gitignore; None when it cannot be read or has none."""
    try:
        if os.path.islink(file) or os.path.getsize(file) > 1_000_000:
            return None
        with open(file, "rb") as stream:
            lines = os.fsdecode(stream.read()).splitlines()
    except OSError:
        return None
    lines = [line for line in lines if line.strip() and not line.startswith("#")]
    if not lines:
        return None
    from pathspec import GitIgnoreSpec

    kept = []
    for line in lines:  # one bad pattern must not cost the others
        try:
            GitIgnoreSpec.from_lines([line])
        except ValueError:
            continue
        kept.append(line)
    return GitIgnoreSpec.from_lines(kept)


def _is_ignored(path: bytes, folder: bool, rules: tuple[tuple[int, Any], ...]) -> bool:
    """By the deepest .gitignore that says anything about it."""
    for cut, spec in reversed(rules):
        relative = os.fsdecode(path[cut:]) + ("/" if folder else "")
        verdict = spec.check_file(relative).include
        if verdict is not None:
            return bool(verdict)
    return False
