"""Reading one file safely: only regular files, only what was promised, unchanged while read."""

from __future__ import annotations

import errno
import os
import stat

from llmos_disk.blocks import Unreadable
from llmos_disk.records import Seen
from llmos_disk.scan import seen_of

_TRIES = 3


def read_file(path: bytes, max_bytes: int) -> tuple[bytes, Seen]:
    """The bytes of a file and the state that belongs to exactly these bytes.

    Args:
        path: the file; a link in its place is refused, and a pipe does not block.
        max_bytes: most bytes to read.

    Raises:
        Unreadable: gone, not permitted, no regular file, too large, or changing all the time.
    """
    for _ in range(_TRIES):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise Unreadable("is a link") from error
            raise Unreadable(f"cannot be opened ({error.strerror})") from error
        with os.fdopen(descriptor, "rb") as stream:
            before = os.fstat(stream.fileno())
            if not stat.S_ISREG(before.st_mode):
                raise Unreadable("is no regular file")
            if before.st_size > max_bytes:
                raise Unreadable(f"is larger than the limit of {max_bytes / 1e6:,.0f} MB")
            try:
                data = stream.read(max_bytes + 1)
            except OSError as error:
                raise Unreadable(f"cannot be read ({error.strerror})") from error
            after = os.fstat(stream.fileno())
        if len(data) > max_bytes:
            raise Unreadable(f"is larger than the limit of {max_bytes / 1e6:,.0f} MB")
        same = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
        if same and len(data) == after.st_size:
            return data, seen_of(path, after)
    raise Unreadable("changes while it is read; the next scan tries again")
