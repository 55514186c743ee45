"""What comes from outside into a turn: typed text, piped bytes, attached files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from llmos.conversation.window import ATTACHED
from llmos.types import Confidentiality, Integrity, Labels, Page, UserError

#: Control characters other than tab and newline; C1 controls; the Unicode tag block stays to the guard.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
#: Terminal escape sequences whole, so that pasting coloured output leaves no "[31m" behind.
_ESCAPE = re.compile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)|[@-Z\\\\-_])")

#: Largest file that is attached whole, in bytes.
LARGEST_FILE = 2_000_000


def clean_input(text: str) -> str:
    """What a person typed, without escape sequences, control characters, NUL and lone surrogates.

    Template tokens stay: they are text, and the kernel never reads them as tokens.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = text.encode("utf-8", "replace").decode("utf-8")
    return _CONTROL.sub("", _ESCAPE.sub("", text))


def decode_input(data: bytes) -> str:
    """Piped bytes as clean text; what is not UTF-8 becomes U+FFFD."""
    return clean_input(data.decode("utf-8-sig", "replace"))


def read_attachment(path: Path) -> Page:
    """A text file as a page to put before the question.

    The user chose the file but did not write what is in it: it is untrusted, and private.

    Raises:
        UserError: missing, a folder, not text, too large, not readable.
    """
    try:
        if path.is_dir():
            raise UserError(f"{path} is a folder; attach the files in it one by one.")
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise UserError(
                f"{path} has {size:,} bytes, more than the {LARGEST_FILE:,} that can be attached; "
                "attach a part of it."
            )
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"The file {path} cannot be read: {error.strerror or error}.") from error
    if b"\0" in data[:8_192]:
        raise UserError(f"{path} is not a text file; attach text.")
    return text_page(decode_input(data), source=path.name, origin=f"file:{path.resolve()}")


def text_page(text: str, *, source: str, origin: str) -> Page:
    """Foreign text as a page of untrusted, private content."""
    return Page(
        text=text,
        kind="passage",
        labels=Labels(frozenset({origin}), Integrity.UNTRUSTED, Confidentiality.PRIVATE),
        source=source,
        location={"path": origin.removeprefix("file:")} if origin.startswith("file:") else {},
        reason=ATTACHED,
    )


def attachments(items: Sequence[Path | Page]) -> list[Page]:
    """Pages of whatever was attached."""
    return [item if isinstance(item, Page) else read_attachment(item) for item in items]
