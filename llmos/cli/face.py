"""Starts the terminal face: the first paint comes before anything heavy is imported."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmos.tui.app import LlmosApp
    from llmos.tui.backend import Backend


def run_tui(
    *, model: str = "", chat: str = "", go_on: bool = False, slow: bool = False, tour: bool = False
) -> None:
    """Open the chat in the terminal and stay until the user leaves.

    Args:
        model: name or path; empty for the user's own choice.
        chat: id or title of the chat to open.
        go_on: open the chat used last.
        slow: fewer repaints.
        tour: open the Build tab on the tour.
    """
    from llmos.tui.quick_start import pause_collection

    pause_collection()
    from llmos.folders import folders
    from llmos.tui.app import LlmosApp
    from llmos.tui.options import read_options

    where = folders()
    chat_id = _chat_id(chat, go_on) if chat or go_on else ""
    app = LlmosApp(_backend, read_options(where.settings_file, slow=slow), chat=chat_id, model=model, tour=tour)
    _leave_on_signals(app)
    _leave_with_terminal()
    app.run()
    if app.return_code:
        sys.exit(app.return_code)


def _leave_on_signals(app: LlmosApp) -> None:
    """Have SIGTERM and SIGHUP end the face as a user would: answers kept, the terminal put back."""

    def leave(number: int, _frame: object) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            sys.exit(128 + number)
        loop.call_soon_threadsafe(lambda: app.exit(return_code=128 + number))

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)


def _leave_with_terminal() -> None:
    """Have the end of the terminal arrive as SIGHUP.

    The kernel sends it to the leader of the session alone. Where that is ``make``, which waits for its
    child instead of ending, nobody passes it on, and the input thread reads the end of the file for ever.
    """
    if not os.isatty(0):
        return

    def watch() -> None:
        terminal = select.poll()
        terminal.register(0, 0)  # no event is asked for: the end of a terminal is told unasked
        if any(event & select.POLLHUP for _, event in terminal.poll()):
            os.kill(os.getpid(), signal.SIGHUP)

    threading.Thread(target=watch, name="end of the terminal", daemon=True).start()


def _backend() -> Backend:
    """The program behind the face; called on a thread once the first frame is on the screen."""
    from llmos.cli.output import log_to_file
    from llmos.tui.real_backend import RealBackend

    log_to_file()
    made: Backend = RealBackend(safe_mode=bool(os.environ.get("LLMOS_SAFE_MODE")))
    return made


def _chat_id(chat: str, go_on: bool) -> str:
    """Id of the chat that the command line asks for; empty when there is none to go on with."""
    from llmos.cli.chats import open_store

    with open_store() as store:
        if chat:
            return store.find_chat(chat).id
        latest = store.latest_chat() if go_on else None
        return latest.id if latest else ""
