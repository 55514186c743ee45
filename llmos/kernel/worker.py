"""The worker process: reads requests from a pipe, runs the scheduler, writes events.

Started as ``python -m llmos.kernel.worker``. The pipe is stdin and stdout; both are moved away
first, so that nothing native can write into it, and the log goes to stderr. A reader thread
takes requests at any time (a stop must be heard while llama.cpp works); everything else happens
on the main thread. When the pipe closes, the process ends at once.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from llmos.kernel.frames import BrokenPipe, read_frame, write_frame
from llmos.kernel.library import prepare_environment
from llmos.kernel.protocol import KernelError, NotAvailable

if TYPE_CHECKING:
    from llmos.kernel.operations import Operations

#: Seconds between looks at whether the parent is still there.
_PARENT_CHECK = 2.0


class Pipe:
    """The two ends of the pipe, moved off the standard descriptors."""

    def __init__(self) -> None:
        self.incoming, self.outgoing = os.dup(0), os.dup(1)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        os.dup2(2, 1)

    def send(self, message: dict[str, Any], payload: bytes = b"") -> None:
        """Write one frame; ends the process when nobody reads."""
        try:
            write_frame(self.outgoing, message, payload)
        except BrokenPipe:
            os._exit(0)


class Worker:
    """Dispatches requests to the operations and drives the scheduler.

    Args:
        pipe: to the client.
        operations: makes them; None takes the kernel's own.
    """

    def __init__(self, pipe: Pipe, operations: Callable[..., Operations] | None = None) -> None:
        from llmos.kernel.operations import Operations

        self._pipe = pipe
        self._requests: queue.SimpleQueue[tuple[dict[str, Any], bytes]] = queue.SimpleQueue()
        self._operations = (operations or Operations)(self._event, self._reply)

    def run(self) -> None:
        """Serve for ever; the reader thread ends the process."""
        threading.Thread(target=self._read, name="reader", daemon=True).start()
        threading.Thread(target=self._watch_parent, name="parent", daemon=True).start()
        while True:
            scheduler = self._operations.scheduler
            try:
                while True:
                    block = scheduler is None or not scheduler.busy
                    message, payload = self._requests.get(block=block)
                    self._handle(message, payload)
                    scheduler = self._operations.scheduler
            except queue.Empty:
                pass
            if scheduler is not None:
                scheduler.step()
                self._operations.after_step()

    def _read(self) -> None:
        try:
            while True:
                message, payload = read_frame(self._pipe.incoming)
                scheduler = self._operations.scheduler
                if message["op"] == "stop" and scheduler is not None:
                    scheduler.stop(int(message["target"]))
                self._requests.put((message, payload))  # a stop too: it wakes the main thread
        except (BrokenPipe, OSError, ValueError):
            os._exit(0)

    def _watch_parent(self) -> None:
        """End with the parent even where another process holds the pipe open."""
        parent = os.getppid()
        while os.getppid() == parent:
            time.sleep(_PARENT_CHECK)
        os._exit(0)

    def _handle(self, message: dict[str, Any], payload: bytes) -> None:
        number = int(message.get("id", 0))
        try:
            self._operations.handle(number, message, payload)
        except NotAvailable as error:
            self._error(number, str(error), "NotAvailable")
        except KernelError as error:
            self._error(number, str(error), "KernelError")
        except Exception as error:  # a bug must answer, not hang the caller
            traceback.print_exc()
            self._error(number, f"The kernel failed at {message.get('op')}: {error}.", "KernelError")

    def _error(self, number: int, sentence: str, kind: str) -> None:
        self._pipe.send({"id": number, "e": "error", "text": sentence, "kind": kind})

    def _event(self, number: int, message: dict[str, Any]) -> None:
        self._pipe.send({"id": number, **message})

    def _reply(self, number: int, value: Any, payload: bytes = b"") -> None:
        self._pipe.send({"id": number, "e": "reply", "value": value}, payload)


def main(operations: Callable[..., Operations] | None = None) -> None:
    """Entry point of the process.

    Args:
        operations: makes what the worker can be asked for; None takes the kernel's own.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is the face's business
    faulthandler.enable(sys.stderr)
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file holds the whole conversation
    prepare_environment()
    Worker(Pipe(), operations).run()


if __name__ == "__main__":
    main()
