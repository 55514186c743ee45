"""Opening a passage in its file: the lines around it, or the text of its page."""

from __future__ import annotations

from llmos.types import UserError
from llmos_disk.blocks import Unreadable
from llmos_disk.readers import ISOLATED, kind_of
from llmos_disk.readers.encoding import decode, looks_binary
from llmos_disk.reading import read_file
from llmos_disk.records import display_path
from llmos_disk.service import Disk


def around(disk: Disk, path: bytes, line: int, page: int, lines: int) -> tuple[str, int, str]:
    """The text around a place, from the file as it is now.

    Only files of the index are shown: a place may come from a model.

    Args:
        disk: the index.
        path: an indexed file.
        line: 1-based, 0 for the beginning.
        page: 1-based page of a paged document, 0 for others.
        lines: how many lines around it.

    Returns:
        (text, number of its first line, text with line numbers and the place marked).

    Raises:
        UserError: not in the index, gone, or not readable.
    """
    passages = disk.store.passages_of_file(path)
    if not passages:
        raise UserError(f"{display_path(path)} is not in the index; `disk list` shows what is.")
    kind = kind_of(display_path(path))
    if page or (kind in ISOLATED and kind != "html"):
        chosen = [one for one in passages if not page or one.page == page]
        text = "\n".join(one.text for one in chosen)
        return text, 0, text
    try:
        data, _ = read_file(path, disk.limits.max_bytes)
    except Unreadable as error:
        raise UserError(f"{display_path(path)} {error}.") from error
    if looks_binary(data):
        raise UserError(f"{display_path(path)} is no text any more.")
    rows = decode(data).split("\n")
    first = max(line - lines // 2, 1)
    chosen_rows = rows[first - 1 : first - 1 + lines]
    width = len(str(first + len(chosen_rows)))
    shown = [
        f"{'>' if number == line else ' '} {number:>{width}}  {row}"
        for number, row in enumerate(chosen_rows, start=first)
    ]
    return "\n".join(chosen_rows), first, "\n".join(shown)
