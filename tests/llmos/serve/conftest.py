"""A server on loopback, in this process, on a small real model; and the official client."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import openai
import pytest
import uvicorn

from llmos.bench.random_gguf import TINY, write_random_gguf
from llmos.kernel.client import KernelClient
from llmos.kernel.locate import with_role
from llmos.kernel.protocol import LoadRequest
from llmos.serve.access import Access
from llmos.serve.api_server import ApiServer

TOKEN = "test-token"


@dataclass
class Running:
    """A server that answers at ``url``."""

    url: str
    server: ApiServer
    model: str


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    bundled = with_role("chat")
    folder = tmp_path_factory.mktemp("serve")
    path = bundled.path if bundled else write_random_gguf(folder / "tiny.gguf", TINY)
    ready = threading.Event()
    out: list[Running] = []
    stop: list[uvicorn.Server] = []

    async def run() -> None:
        kernel = KernelClient(log=folder / "kernel.log")
        info = await kernel.load(LoadRequest(Path(path), context=2048, threads=1, max_sequences=6))

        async def embed(texts: list[str]) -> list[list[float]]:
            return [[float(len(text)), 1.0] for text in texts]

        api = ApiServer(kernel, 4, embed)
        config = uvicorn.Config(api.app(Access(TOKEN)), port=0, log_level="error")
        server = uvicorn.Server(config)
        task = asyncio.ensure_future(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        out.append(Running(f"http://127.0.0.1:{port}", api, info.name))
        stop.append(server)
        ready.set()
        await task
        await kernel.close()

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    assert ready.wait(60)
    yield out[0]
    stop[0].should_exit = True
    thread.join(20)


@pytest.fixture
def client(running: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{running.url}/v1", api_key=TOKEN, max_retries=0, timeout=60) as made:
        yield made
