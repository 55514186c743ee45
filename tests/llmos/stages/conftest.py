"""A kernel on a small real model: the bundled one where it is there, else random weights."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from llmos.bench.random_gguf import TINY, write_random_gguf
from llmos.kernel.client import KernelClient
from llmos.kernel.locate import with_role
from llmos.kernel.protocol import LoadRequest
from llmos.stages.frame import StageContext


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bundled = with_role("chat")
    if bundled is not None:
        return bundled.path
    return write_random_gguf(tmp_path_factory.mktemp("models") / "tiny.gguf", TINY)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kernel(model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[KernelClient]:
    client = KernelClient(log=tmp_path_factory.mktemp("log") / "kernel.log")
    await client.load(LoadRequest(model_file, context=1024, threads=1))
    yield client
    await client.close()


@pytest.fixture
def context(kernel: KernelClient) -> StageContext:
    return StageContext(kernel)
