"""The worker killed again and again at random moments (``make soak``; a short loop in ``make test``)."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from pathlib import Path

import pytest

from llmos.kernel import client as client_module
from llmos.kernel.client import KernelClient
from llmos.kernel.protocol import Chunk, GenerateRequest, KernelDied, LoadRequest
from tests.llmos.kernel.helpers import GREEDY, answer


async def _kill_loop(tiny: Path, times: int) -> None:
    luck = random.Random(times)
    client = KernelClient()
    request = GenerateRequest(list(range(60, 200)), max_tokens=300, sampling=GREEDY, bias={0: -1e9, 2: -1e9})
    try:
        await client.load(LoadRequest(tiny, threads=1))
        expected = (await answer(client, request)).text
        for _ in range(times):
            number = luck.choice([signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGTERM])
            pid = client.pid
            killer = asyncio.get_running_loop().call_later(luck.uniform(0, 0.05), os.kill, pid, number)
            text = ""
            try:
                async for event in client.generate(request):
                    text += event.text if isinstance(event, Chunk) else ""
            except KernelDied:
                pass
            assert expected.startswith(text)  # what came is a true beginning
            while client.pid == pid:
                await asyncio.sleep(0.005)
            killer.cancel()
            assert (await answer(client, request)).text == expected
        assert client.restarts == times
    finally:
        await client.close()


async def test_a_few_kills(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_WITHIN", 0.0)  # more deaths a minute than are borne otherwise
    await _kill_loop(tiny, 4)


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_fifty_kills(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_WITHIN", 0.0)
    start = time.monotonic()
    await _kill_loop(tiny, 50)
    print(f"50 kills in {time.monotonic() - start:.0f} s")
