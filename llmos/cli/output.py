"""How commands print: plain lines for people, one JSON object for programs, one line for errors."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import click

from llmos.folders import folders
from llmos.types import UserError

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def print_json(data: Any) -> None:
    """One JSON value on stdout."""
    from llmos.guard.clean import escape_json

    click.echo(escape_json(json.dumps(data, ensure_ascii=False, indent=2, default=str)))


def clean(text: str) -> str:
    """Text of a model, file or chat as it may be printed."""
    from llmos.guard.clean import clean as strip

    return strip(text)


def warn(text: str) -> None:
    """One line for the user that is no part of the output."""
    click.echo(one_line(text), err=True)


def one_line(text: str) -> str:
    """The text on a single line."""
    return " ".join(text.split())


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under headings, as wide as they need; the last column is not padded."""
    widths = [max([len(name), *(len(row[place]) for row in rows)]) for place, name in enumerate(columns)]
    lines = [list(columns), *map(list, rows)]
    return "\n".join(
        "  ".join(
            cell if place == len(line) - 1 else cell.ljust(widths[place]) for place, cell in enumerate(line)
        ).rstrip()
        for line in lines
    )


def when(seconds: float) -> str:
    """A moment in the user's own time, to the minute."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def log_to_file() -> None:
    """Send the program's log to the user's log file; without one to nowhere."""
    root = logging.getLogger("llmos")
    if root.handlers:
        return
    handler: logging.Handler
    try:
        path = folders().make().log_file
        if path.exists() and path.stat().st_size > 2_000_000:
            os.replace(path, path.with_suffix(".old"))
        handler = logging.FileHandler(path, encoding="utf-8", delay=True)
    except (OSError, UserError):
        handler = logging.NullHandler()
    logging.raiseExceptions = False  # a line that a full disk does not take must not come out as a traceback
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    root.propagate = False


def report(error: BaseException) -> None:
    """Tell the user of an error in one line; details of an unexpected one go to the log."""
    if isinstance(error, UserError):
        click.echo(f"llmos: {one_line(str(error))}", err=True)
        return
    log_to_file()
    logging.getLogger("llmos").error("unexpected error", exc_info=error)
    what = one_line(str(error)) or type(error).__name__
    click.echo(
        f"llmos: Something went wrong in the program itself ({type(error).__name__}: {what}); "
        f"details are in {folders().log_file}.",
        err=True,
    )


def silence_stdout() -> None:
    """After the reader of a pipe went away: let Python's own flush at exit go nowhere."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
    except OSError:
        pass
