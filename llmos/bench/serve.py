"""``llmos bench serve``: eight clients at once against a bare batched loop of the same kernel."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmos.bench.figures import Figure, figure
from llmos.bench.random_gguf import M15, M135, write_random_gguf
from llmos.kernel.client import KernelClient
from llmos.kernel.protocol import Finished, GenerateRequest, LoadRequest
from llmos.offline import async_http_client
from llmos.types import SamplingSettings

if TYPE_CHECKING:
    import httpx

Say = Callable[[str], None]
_CLIENTS, _TOKENS = 8, 96
_TOKEN = "bench"


async def _bare(kernel: KernelClient, prompt: list[int]) -> float:
    """Tokens a second of eight samples decoded in one batch by the kernel itself."""
    made, began = 0, time.perf_counter()
    request = GenerateRequest(
        prompt,
        sequence="bare",
        max_tokens=_TOKENS,
        samples=_CLIENTS,
        sampling=SamplingSettings(temperature=1.0),
        bias={token: -1e9 for token in range(9)},
        keep=False,
    )
    async for event in kernel.generate(request):
        if isinstance(event, Finished):
            made += event.completion_tokens
    return made / (time.perf_counter() - began)


async def _served(url: str, prompt: str) -> tuple[float, list[int]]:
    """Tokens a second of eight HTTP clients together, and each one's tokens by half time."""
    counts = [0] * _CLIENTS
    totals = [0] * _CLIENTS
    half: list[int] = []
    body = {"prompt": prompt, "max_tokens": _TOKENS, "stream": True, "temperature": 1.0,
            "logit_bias": {str(token): -100 for token in range(9)},
            "stream_options": {"include_usage": True}}  # fmt: skip

    async def client(number: int, http: httpx.AsyncClient) -> None:
        async with http.stream("POST", f"{url}/v1/completions", json=body) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data: {"):
                    event = json.loads(line[6:])
                    if event.get("usage"):
                        totals[number] = event["usage"]["completion_tokens"]
                    elif event["choices"]:
                        counts[number] += 1
                        if not half and sum(counts) >= _CLIENTS * _TOKENS // 2:
                            half.extend(counts)

    began = time.perf_counter()
    token = {"Authorization": f"Bearer {_TOKEN}"}
    async with async_http_client("measuring the server", local=True, headers=token, timeout=300) as http:
        await asyncio.gather(*(client(number, http) for number in range(_CLIENTS)))
    return sum(totals) / (time.perf_counter() - began), half or counts


async def _shape(name: str, rounds: int, say: Say) -> list[Figure]:
    import uvicorn

    from llmos.serve.access import Access
    from llmos.serve.api_server import ApiServer

    with tempfile.TemporaryDirectory(prefix="llmos-serve-") as folder:
        shape = {"15M": M15, "135M": M135}[name]
        path = write_random_gguf(Path(folder) / "m.gguf", shape, quantisation="Q8_0")
        kernel = KernelClient()
        ratios, fair = [], []
        try:
            await kernel.load(LoadRequest(path, context=4096, max_sequences=12))
            app = ApiServer(kernel, _CLIENTS).app(Access(_TOKEN))
            server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
            task = asyncio.ensure_future(server.serve())
            while not server.started:
                await asyncio.sleep(0.01)
            url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
            text = "one two three four five six seven eight"
            prompt = await kernel.tokenize(text, bos=True)
            for number in range(rounds):
                bare = await _bare(kernel, prompt)
                rate, half = await _served(url, text)
                ratios.append(rate / bare)
                fair.append(min(half) / max(1, max(half)))
                say(f"{name}, round {number + 1}: {rate:.0f} of {bare:.0f} tokens/s")
            server.should_exit = True
            await task
        finally:
            await kernel.close()
    middle = sorted(ratios)[len(ratios) // 2]
    return [
        figure(f"8 clients to a bare batch, {name}", middle, "ratio", ">=", 0.9),
        figure(
            f"smallest to largest share at half time, {name}", sorted(fair)[len(fair) // 2], "ratio", ">=", 0.8
        ),
    ]


def run(
    shapes: str = "15M,135M", rounds: int = 3, quick: bool = False, say: Say = lambda text: None, **_: Any
) -> list[Figure]:
    """Run the benchmark.

    Args:
        shapes: random-weight shapes by comma: ``15M``, ``135M``.
        rounds: repetitions; medians count.
        quick: one round of the small shape.
        say: takes progress.
    """
    if quick:
        shapes, rounds = "15M", 1
    figures: list[Figure] = []
    for name in shapes.split(","):
        figures += asyncio.run(_shape(name, int(rounds), say))
    return figures
