"""A tiny model with random weights, an engine on it in this process, and a kernel client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from llmos.bench.random_gguf import TINY, write_random_gguf
from llmos.kernel.client import KernelClient
from llmos.kernel.engine import Engine
from llmos.kernel.protocol import LoadRequest


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GGUF of 140,000 random weights."""
    return write_random_gguf(tmp_path_factory.mktemp("models") / "tiny.gguf", TINY)


@pytest.fixture(scope="module")
def engine(tiny: Path) -> Iterator[Engine]:
    """The tiny model loaded in this process."""
    made = Engine(tiny, context=512, threads=1, max_sequences=6)
    yield made
    made.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kernel(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[KernelClient]:
    """A client with the tiny model loaded, one for each test module."""
    client = KernelClient(log=tmp_path_factory.mktemp("log") / "kernel.log")
    await client.load(LoadRequest(tiny, context=1024, threads=1))
    yield client
    await client.close()
