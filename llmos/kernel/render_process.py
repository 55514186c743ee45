"""A short program that renders chat templates of foreign models, so that a looping one can be killed.

Says ``{"ready"}``, then reads frames ``{"template", "values"}`` on stdin and answers ``{"text"}``
or ``{"error"}`` on stdout. Started by ``rendering``; its memory is limited where the system can.
"""

from __future__ import annotations

import contextlib
import os
import sys

from llmos.kernel.frames import BrokenPipe, read_frame, write_frame
from llmos.kernel.protocol import KernelError
from llmos.kernel.templates import render_patiently

#: Address space of the renderer in bytes.
MEMORY_LIMIT = 1 << 30


def main() -> None:
    """Serve until the pipe is closed."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    incoming, outgoing = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    try:
        write_frame(outgoing, {"ready": True})
        while True:
            request, _ = read_frame(incoming)
            try:
                answer = {"text": render_patiently(request["template"], request["values"])}
            except KernelError as error:
                answer = {"error": str(error)}
            except MemoryError:
                answer = {"error": "The model's chat template takes too much memory."}
            except Exception as error:  # foreign code can raise anything
                answer = {
                    "error": f"The model's chat template cannot render this chat ({error!r}); "
                    "use a model with a sound template."
                }
            write_frame(outgoing, answer)
    except (BrokenPipe, KeyboardInterrupt):
        sys.exit(0)


if __name__ == "__main__":
    main()
