"""``llmos bench serve``: eight clients at once against a bare batch, a client that leaves, many requests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llmos.bench.figures import Figure, figure
from llmos.bench.random_gguf import M15, M135, TINY, write_random_gguf
from llmos.bench.serve_shares import ServeKernel, share_at_half_time, share_in_the_middle
from llmos.bench.serve_soak import Soak
from llmos.kernel.protocol import KernelStats, LoadRequest
from llmos.offline import async_http_client, open_loopback
from llmos.types import UserError

if TYPE_CHECKING:
    import httpx

    from llmos.serve.api_server import ApiServer

Say = Callable[[str], None]
_CLIENTS = 8
_TOKEN = "bench"
#: Tokens in the cache when a client leaves.
_MIDDLE = 40
_WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight"]
_TEXT = " ".join(_WORDS)
#: Prompts of which none begins like another.
_DIFFERENT = [" ".join(_WORDS[at:] + _WORDS[:at]) for at in range(_CLIENTS)]
#: Shape and tokens of each answer: enough that beginning and end do not count for much.
_SHAPES = {"tiny": (TINY, 96), "15M": (M15, 96), "135M": (M135, 96)}


@contextlib.asynccontextmanager
async def _server(kernel: ServeKernel) -> AsyncIterator[tuple[ApiServer, str]]:
    """A server in this process: (its handlers, its address)."""
    import uvicorn

    from llmos.serve.access import Access
    from llmos.serve.api_server import ApiServer

    handlers = ApiServer(kernel, _CLIENTS)
    server = uvicorn.Server(uvicorn.Config(handlers.app(Access(_TOKEN)), port=0, log_level="error"))
    task = asyncio.ensure_future(server.serve())
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        yield handlers, f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


async def _served(url: str, tokens: int, prompts: Sequence[str]) -> float:
    """Tokens a second of HTTP clients together, one a prompt."""
    totals = [0] * len(prompts)
    body = {"max_tokens": tokens, "stream": True, "temperature": 1.0,
            "logit_bias": {str(token): -100 for token in range(9)},
            "stream_options": {"include_usage": True}}  # fmt: skip

    async def client(number: int, http: httpx.AsyncClient) -> None:
        asked = {**body, "prompt": prompts[number]}
        async with http.stream("POST", f"{url}/v1/completions", json=asked) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data: {"):
                    event = json.loads(line[6:])
                    if event.get("usage"):
                        totals[number] = event["usage"]["completion_tokens"]

    token = {"Authorization": f"Bearer {_TOKEN}"}
    async with async_http_client("measuring the server", local=True, headers=token, timeout=600) as http:
        began = time.perf_counter()
        await asyncio.gather(*(client(number, http) for number in range(len(prompts))))
        return sum(totals) / (time.perf_counter() - began)


async def _together(kernel: ServeKernel, name: str, url: str, rounds: int, say: Say) -> list[Figure]:
    """Eight clients against a bare llama_decode loop over eight sequences, on the same context."""
    tokens = _SHAPES[name][1]
    prompt = len(await kernel.tokenize(_TEXT, bos=True))
    same = [_TEXT] * _CLIENTS
    await _served(url, tokens, same)
    alone: list[float] = []
    half, middle, rates = [], [], []
    for number in range(rounds + 1):
        seconds, _ = await kernel.bare_decode(prompt, tokens, _CLIENTS)
        alone.append(_CLIENTS * tokens / seconds)
        if number == rounds:
            break
        await kernel.counts()
        rates.append(await _served(url, tokens, same))
        noted = await kernel.counts()
        half.append(share_at_half_time(noted, tokens))
        middle.append(share_in_the_middle(noted))
        say(
            f"{name}, round {number + 1} of {rounds}: {rates[-1]:.0f} tokens/s, bare batch {alone[-1]:.0f}; "
            f"shares {half[-1]:.2f} at half time"
        )
    ratios = [rate / statistics.mean(alone[at : at + 2]) for at, rate in enumerate(rates)]
    return [
        figure(f"8 clients to a bare batch, {name}", statistics.median(ratios), "ratio", ">=", 0.9),
        figure(f"8 clients, {name}", statistics.median(rates), "tokens/s"),
        figure(f"bare batch of 8, {name}", statistics.median(alone), "tokens/s"),
        figure(f"smallest to largest share at half time, {name}", statistics.median(half), "ratio", ">=", 0.8),
        figure(
            f"smallest to largest share while all are written, {name}",
            statistics.median(middle), "ratio", ">=", 0.8,
        ),
    ]  # fmt: skip


async def _strangers(kernel: ServeKernel, name: str, url: str, rounds: int, say: Say) -> list[Figure]:
    """Shares of eight clients that ask different things, of which nothing has been read before."""
    tokens = _SHAPES[name][1]
    half = []
    for number in range(rounds):
        await _forget(kernel)
        await kernel.counts()
        await _served(url, tokens, _DIFFERENT)
        half.append(share_at_half_time(await kernel.counts(), tokens))
        say(f"{name}, different prompts, round {number + 1} of {rounds}: shares {half[-1]:.2f} at half time")
    middle = statistics.median(half)
    return [figure(f"share at half time, different prompts, {name}", middle, "ratio", ">=", 0.8)]


async def _held(kernel: ServeKernel) -> tuple[KernelStats, int]:
    """The kernel's state, and how many tokens its server's sequences hold."""
    stats = await kernel.stats()
    return stats, sum(one.tokens for one in stats.sequences if one.name.startswith("serve-"))


async def _gone(kernel: ServeKernel, handlers: ApiServer, name: str, url: str, rounds: int) -> list[Figure]:
    """Tokens that are still evaluated for a client that goes away in the middle of its answer."""
    host, port = url.removeprefix("http://").split(":")
    after: dict[bool, list[int]] = {False: [], True: []}
    freed: list[float] = []
    for number in range(2 * rounds):
        stream = bool(number % 2)
        body = json.dumps({"prompt": _TEXT, "max_tokens": 2000, "stream": stream, "temperature": 1.0,
                           "logit_bias": {str(token): -100 for token in range(9)}})  # fmt: skip
        head = (
            f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {_TOKEN}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        _, writer = await open_loopback(host, int(port))
        writer.write((head + body).encode())
        while (await _held(kernel))[1] < _MIDDLE:
            await asyncio.sleep(0.002)
        _, before = await _held(kernel)
        began = time.perf_counter()
        writer.close()
        while handlers.slots.free < _CLIENTS:
            await asyncio.sleep(0.0005)
        freed.append(1000 * (time.perf_counter() - began))
        while (held := await _held(kernel))[0].running:
            await asyncio.sleep(0.001)
        after[stream].append(held[1] - before)
        await _forget(kernel)
    rows = [figure(f"until the slot of a client that left is free, {name}", statistics.median(freed), "ms")]
    for stream, kind in ((True, "streaming"), (False, "waiting for the whole answer")):
        late = statistics.median(after[stream])
        rows.append(figure(f"evaluated after a client left, {kind}, {name}", late, "tokens", "<=", 1))
    return rows


async def _forget(kernel: ServeKernel) -> None:
    """Empty the server's sequences, so that the next prompt is counted from nothing."""
    for number in range(_CLIENTS):
        await kernel.drop(f"serve-{number}")


async def _shape(name: str, rounds: int, say: Say) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="llmos-serve-") as folder:
        say(f"writing random weights of the {name} shape")
        path = write_random_gguf(Path(folder) / "m.gguf", _SHAPES[name][0], quantisation="Q8_0")
        kernel = ServeKernel()
        try:
            await kernel.load(LoadRequest(path, context=2048, max_sequences=2 * _CLIENTS + 2))
            async with _server(kernel) as (handlers, url):
                figures = await _together(kernel, name, url, rounds, say)
                figures += await _strangers(kernel, name, url, max(1, rounds // 3), say)
                say(f"{name}: clients that leave")
                await _forget(kernel)
                return figures + await _gone(kernel, handlers, name, url, 3)
        finally:
            await kernel.close()


def run(
    model: str = "",
    shapes: str = "15M,135M",
    rounds: int = 9,
    requests: int = 0,
    quick: bool = False,
    say: Say = lambda text: None,
) -> list[Figure]:
    """Run the benchmark.

    Args:
        model: that the many requests are sent to; the bundled one otherwise.
        shapes: random-weight shapes by comma: ``tiny``, ``15M``, ``135M``; ``none`` leaves them out.
        rounds: repetitions; medians count.
        requests: send so many short requests to ``llmos serve`` and watch its memory.
        quick: three rounds.
        say: takes progress.
    """
    figures: list[Figure] = []
    names = [name for name in shapes.split(",") if name != "none"]
    for name in names:
        if name not in _SHAPES:
            raise UserError(f"There is no shape {name}; there are: {', '.join(_SHAPES)}, none.")
    for name in names:
        figures += asyncio.run(_shape(name, 3 if quick else int(rounds), say))
    if requests:
        figures += asyncio.run(Soak(model, int(requests), say).run())
    return figures
