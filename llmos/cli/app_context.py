"""A session for commands: settings with the command's own values laid over, notices on stderr."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import click

from llmos.types import Notice

if TYPE_CHECKING:
    from llmos.conversation.session import Session
    from llmos.types import Approval, ApprovalAnswer


@asynccontextmanager
async def cli_session(
    *, quiet: bool = False, preapproved: Sequence[str] = (), can_ask: bool | None = None, **chat: Any
) -> AsyncIterator[Session]:
    """Open the program for one command.

    Args:
        quiet: keep notices to the log.
        preapproved: exact calls as JSON, approved beforehand.
        can_ask: whether approvals can be asked on the terminal; None looks.
        chat: chat settings laid over the user's; None leaves one as it is.
    """
    from llmos.cli.output import log_to_file
    from llmos.conversation.session import open_session, with_settings
    from llmos.settings import load_settings

    log_to_file()
    settings = with_settings(load_settings(), **chat)
    if settings.chat.titles == "auto":  # nobody waits here for a model to write a title
        settings = with_settings(settings, titles="heuristic")
    calls = frozenset(exact_call(text) for text in preapproved)
    async with open_session(settings, face="cli", safe_mode=bool(os.environ.get("LLMOS_SAFE_MODE"))) as session:
        session.preapproved = calls
        session.face_can_ask = terminal_can_ask() if can_ask is None else can_ask
        if session.face_can_ask:
            session.approver = ask_approval
        if not quiet:
            session.on_notice(print_notice)
        yield session


def print_notice(notice: Notice) -> None:
    """A line on stderr."""
    from llmos.cli.output import warn

    warn(notice.text)


def terminal_can_ask() -> bool:
    """True when there is a person at a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def exact_call(text: str) -> str:
    """A call given as JSON, in the form in which the guard compares calls.

    Raises:
        llmos.types.UserError: it is not ``{"name": …, "arguments": {…}}``.
    """
    from llmos.guard.calls import parse_named_call

    return parse_named_call(text)


async def ask_approval(approval: Approval) -> ApprovalAnswer:
    """Ask on the terminal about the exact bytes; anything but a clear yes refuses."""
    lines = [
        "",
        f"{approval.call.name} asks for your approval ({approval.effect.value}).",
        f"Why you are asked: {approval.reason}",
        "This exact call:",
        *(f"  {line}" for line in approval.exact.splitlines()),
    ]
    if approval.diff:
        lines += ["What it changes:", *(f"  {line}" for line in approval.diff.splitlines())]
    words = {"once": "[y] once", "chat": "[c] for this chat", "always": "[a] always for this exact call"}
    choices = ", ".join(words[scope] for scope in approval.scopes)
    click.echo("\n".join(lines), err=True)
    answer = await asyncio.to_thread(_read_answer, f"Run it? {choices}, [n] no: ")
    scopes: dict[str, ApprovalAnswer] = {"y": "once", "c": "chat", "a": "always"}
    chosen = scopes.get(answer.strip().lower()[:1], "deny")
    return chosen if chosen in approval.scopes else "deny"


def _read_answer(question: str) -> str:
    click.echo(question, nl=False, err=True)
    with contextlib.suppress(Exception):  # not every system or stdin has it
        import termios

        # What was typed before the question was seen is no answer to it.
        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
    return sys.stdin.readline()


def on_signals(stop: Callable[[bool], object]) -> Callable[[], int]:
    """Have the signals that end a program stop the answer first, so that it is kept.

    Args:
        stop: called on the loop at SIGINT, SIGTERM and SIGHUP, with whether it is to stop at once:
            the first SIGINT leaves time for an answer with what there is.

    Returns:
        A function that says which signal came, 0 for none.
    """
    came: list[int] = []
    loop = asyncio.get_running_loop()

    def handle(number: int) -> None:
        came.append(number)
        if len(came) > 2:  # it was meant
            os._exit(128 + number)
        stop(len(came) > 1 or number != signal.SIGINT)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        try:
            loop.add_signal_handler(number, handle, number)
        except (NotImplementedError, RuntimeError, ValueError):
            continue
    return lambda: came[0] if came else 0
