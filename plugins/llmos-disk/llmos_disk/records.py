"""Rows of the disk's database as plain data."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from llmos_disk.chunker import Chunk


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder (or single file) that the user added.

    Attributes:
        private: its text must not leave the machine unasked.
        trusted: its text may steer tools as the user's own words may.
        ignored: files that .gitignore, hidden names and the like left out at the last scan.
    """

    id: int
    path: bytes
    name: str
    private: bool
    trusted: bool
    added_at: float
    scanned_at: float | None
    ignored: int = 0

    @property
    def display(self) -> str:
        """The path for people; bytes that are no UTF-8 become U+FFFD."""
        return display_path(self.path)


@dataclass(frozen=True, slots=True)
class Seen:
    """A file as the scan saw it."""

    path: bytes
    size: int
    mtime_ns: int
    inode: int
    device: int


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file as the database knows it; ``content`` empty for one that was skipped."""

    id: int
    folder_id: int
    seen: Seen
    relative: str
    kind: str
    content: str
    reason: str


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk as search returns it, with one file that holds it.

    Attributes:
        chunk_id: row of its first chunk.
        key: ``content:ordinal``, its id in Chroma.
        others: further files with the same text.
    """

    chunk_id: int
    key: str
    content: str
    ordinal: int
    title: str
    heading: str
    text: str
    line: int
    end_line: int
    page: int
    part: str
    path: bytes
    relative: str
    kind: str
    mtime_ns: int
    folder_id: int
    folder: str
    private: bool
    trusted: bool
    others: tuple[str, ...] = ()


@dataclass(slots=True)
class Prepared:
    """A file that was read and cut, on its way into the index.

    Attributes:
        content: id of its text (hash and reader).
        chunks: its chunks, empty when the text is in the index already.
        vectors: [chunks, width] float16 array, None where no embedder is at hand.
    """

    folder_id: int
    seen: Seen
    relative: str
    kind: str
    sha256: str
    content: str
    chunks: list[Chunk] = field(default_factory=list)
    vectors: Any = None


def display_path(path: bytes) -> str:
    """A path for people: decoded, what is no UTF-8 as U+FFFD, control characters escaped."""
    text = os.fsencode(path).decode("utf-8", errors="replace")
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text
    )
