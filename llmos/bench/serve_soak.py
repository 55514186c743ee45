"""Many short requests to ``llmos serve``: does the memory of the server or of its kernel grow?"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llmos.bench.figures import Figure, figure
from llmos.kernel.library import child_environment
from llmos.offline import async_http_client

if TYPE_CHECKING:
    import httpx
    import psutil

_CLIENTS = 8
_TOKEN = "soak"
#: What counts as growth (MB): allocators keep some pages of a busy moment.
_MOST_GROWTH = 8.0
_START = "from llmos.cli.main import main; main()"
_WORDS = ("what", "can", "you", "do", "tell", "me", "about", "models", "files", "memory", "why", "how")


@dataclass
class Soak:
    """A run.

    Args:
        model: name or path, empty for the bundled one.
        requests: how many.
        say: takes progress.
    """

    model: str
    requests: int
    say: Callable[[str], None]
    _sizes: list[tuple[int, float, float]] = field(default_factory=list)
    _failed: int = 0
    _done: int = 0

    async def run(self) -> list[Figure]:
        """Send them and measure at a tenth (when everything is warm), in the middle and at the end."""
        import psutil

        async with self._server() as (url, process):
            server = psutil.Process(process.pid)
            headers = {"Authorization": f"Bearer {_TOKEN}"}
            began = time.perf_counter()
            async with async_http_client(
                "measuring the server", local=True, headers=headers, timeout=600
            ) as http:
                for end in (self.requests // 10, self.requests // 2, self.requests):
                    queue = iter(range(self._done, end))
                    await asyncio.gather(*(self._client(url, http, queue) for _ in range(_CLIENTS)))
                    self._done = end
                    self._sizes.append((end, *_megabytes(server)))
                    _, own, kernel = self._sizes[-1]
                    self.say(f"after {end:,} requests: server {own:.0f} MB, kernel {kernel:.0f} MB")
            return self._figures(self.requests / (time.perf_counter() - began))

    def _figures(self, rate: float) -> list[Figure]:
        rows = []
        for part, place in (("server", 1), ("kernel", 2)):
            for one in self._sizes:
                rows.append(figure(f"memory of the {part} after {one[0]:,} requests", one[place], "MB"))
            growth = self._sizes[-1][place] - self._sizes[0][place]
            rows.append(figure(f"growth of the {part} since a tenth of them", growth, "MB", "<=", _MOST_GROWTH))
        return [*rows, figure("requests without an answer", self._failed, "requests", "<=", 0),
                figure("short requests", rate, "requests/s")]  # fmt: skip

    async def _client(self, url: str, http: httpx.AsyncClient, queue: Any) -> None:
        for number in queue:
            draw = random.Random(number)
            body: dict[str, Any] = {
                "messages": [
                    {"role": "user", "content": " ".join(draw.choices(_WORDS, k=draw.randint(1, 12)))}
                ],
                "max_tokens": draw.randint(1, 4),
                "stream": number % 3 == 0,
            }
            if number % 50 == 7:
                body["response_format"] = {"type": "json_object"}
            if number % 50 == 9:
                body["messages"] = [{"role": "nobody"}]  # refused
            answer = await http.post(f"{url}/v1/chat/completions", json=body)
            expected = 400 if number % 50 == 9 else 200
            if answer.status_code != expected:
                self._failed += 1
                if self._failed == 1:
                    self.say(f"request {number}: {answer.status_code} {answer.text[:300]}")

    @contextlib.asynccontextmanager
    async def _server(self) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
        """``llmos serve`` in a process of its own: (address, process)."""
        named = ["--model", self.model] if self.model else []
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-c", _START, "serve", "--port", "0", "--token", _TOKEN, *named,
            stdout=asyncio.subprocess.PIPE,
            env=child_environment(),
        )  # fmt: skip
        try:
            assert process.stdout is not None
            first = (await process.stdout.readline()).decode()
            found = re.search(r"(http://\S+)/v1", first)
            if found is None:
                raise RuntimeError("llmos serve did not start; its message is above.")
            yield found[1], process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


def _megabytes(server: psutil.Process) -> tuple[float, float]:
    """Resident memory of the server, and of the kernel below it."""
    children = server.children(recursive=True)
    workers = [one for one in children if "llmos.kernel.worker" in one.cmdline()]
    return server.memory_info().rss / 1e6, sum(one.memory_info().rss for one in workers) / 1e6
