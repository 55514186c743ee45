"""Counts the bytes that a terminal gets while an answer streams in slow mode."""

from __future__ import annotations

import json
import os
import select
import sys
import time

_CHILD = """
import json, os, sys
from llmos.tui.app import LlmosApp
from llmos.tui.options import FaceOptions
from llmos.tui.probe_backend import ProbeBackend
class Probe(LlmosApp):
    async def load_model(self, name=""):
        await super().load_model(name)
        self.set_timer(0.5, self.begin)
    def begin(self):
        os.write(3, b"begin\\n")
        self.screen.send("begin")
        self.set_interval(0.2, self.look)
    def look(self):
        if not self.turns:
            os.write(3, b"end\\n")
            self.exit()
Probe(lambda: ProbeBackend(tokens_per_second=400, tokens=4_000), FaceOptions(slow=True)).run()
"""


def bytes_written() -> dict[str, float]:
    """Run the face in a pseudo-terminal and count."""
    import fcntl
    import struct
    import termios

    read_end, write_end = os.pipe()
    child, terminal = os.forkpty()
    if child == 0:
        os.dup2(write_end, 3)
        os.environ["TERM"] = "xterm-256color"
        os.execv(sys.executable, [sys.executable, "-c", _CHILD])
    os.close(write_end)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    counting, count, deadline = False, 0, time.monotonic() + 90
    while time.monotonic() < deadline:
        ready, _, _ = select.select([terminal, read_end], [], [], 1.0)
        if terminal in ready:
            try:
                data = os.read(terminal, 65_536)
            except OSError:
                break
            count += len(data) if counting else 0
        if read_end in ready:
            word = os.read(read_end, 16)
            counting = b"begin" in word
            if not word or b"end" in word:
                break
    os.close(terminal)
    os.waitpid(child, 0)
    from llmos.tui.probe_backend import long_answer

    return {"ratio": count / len(long_answer()[: 4_000 * 4].encode()), "bytes": count}


if __name__ == "__main__":
    print(json.dumps(bytes_written()))
