"""Parsers of PDF, DOCX, EPUB and HTML run in a process of their own, with limits on memory and time.

A hostile file can then cost a reader, never the program.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import struct
import subprocess
import sys
import threading
from typing import Any

from llmos_disk.blocks import Block, Unreadable

_MEMORY = 2 * 1024**3


class ReaderProcess:
    """A reader that is started when first needed and again after each failure.

    Args:
        seconds: most time for one file.
    """

    def __init__(self, seconds: float = 60.0) -> None:
        """See the class."""
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def read(self, data: bytes, kind: str) -> list[Block]:
        """Blocks of a file.

        Raises:
            Unreadable: with the reader's reason, or because it took too long or died.
        """
        with self._lock:
            process = self._start()
            try:
                assert process.stdin is not None
                process.stdin.write(struct.pack("<I", len(kind)) + kind.encode())
                process.stdin.write(struct.pack("<Q", len(data)) + data)
                process.stdin.flush()
                answer = self._answer(process)
            except (BrokenPipeError, EOFError) as error:
                self.close()
                raise Unreadable("made its reader fail (too much memory, or a broken file)") from error
            except TimeoutError as error:
                self.close()
                raise Unreadable(f"took longer than {self._seconds:.0f} s to read") from error
        if "error" in answer:
            raise Unreadable(str(answer["error"]))
        return [
            Block(text, tuple(headings), line, page, part, kind_)
            for text, headings, line, page, part, kind_ in answer["blocks"]
        ]

    def _start(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "llmos_disk.isolate"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        return self._process

    def _answer(self, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        size = struct.unpack("<Q", self._exactly(process, 8))[0]
        answer = json.loads(self._exactly(process, size))
        assert isinstance(answer, dict)
        return answer

    def _exactly(self, process: subprocess.Popen[bytes], size: int) -> bytes:
        assert process.stdout is not None
        parts: list[bytes] = []
        while size:
            ready, _, _ = select.select([process.stdout], [], [], self._seconds)
            if not ready:
                raise TimeoutError
            part = os.read(process.stdout.fileno(), min(size, 1 << 20))
            if not part:
                raise EOFError
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with contextlib.suppress(BrokenPipeError):  # what was buffered for the dead reader
                        stream.close()


def _serve() -> None:
    """The process's side: read requests from standard input until it ends."""
    import resource

    from llmos_disk.readers import read

    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a parser that prints must not break the frames
    while head := source.read(4):
        kind = source.read(struct.unpack("<I", head)[0]).decode()
        data = source.read(struct.unpack("<Q", source.read(8))[0])
        try:
            blocks = read(data, kind)
            answer: dict[str, Any] = {
                "blocks": [[b.text, b.headings, b.line, b.page, b.part, b.kind] for b in blocks]
            }
        except Unreadable as error:
            answer = {"error": str(error)}
        except MemoryError:
            answer = {"error": "needs more memory to read than it may have"}
        except Exception as error:  # any fault of a parser concerns this one file only
            answer = {"error": f"cannot be read ({type(error).__name__})"}
        body = json.dumps(answer).encode()
        sink.write(struct.pack("<Q", len(body)) + body)
        sink.flush()


if __name__ == "__main__":
    _serve()
