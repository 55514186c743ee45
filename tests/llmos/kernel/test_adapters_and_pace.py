"""LoRA adapters over the model, and the thread count when decoding gets slow."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from llmos.bench.random_gguf import TINY, write_random_lora
from llmos.kernel import model, threads
from llmos.kernel.client import KernelClient
from llmos.kernel.engine import MANY, Engine
from llmos.kernel.operations import Operations
from llmos.kernel.protocol import GenerateRequest, KernelError, LoadRequest
from tests.llmos.kernel.helpers import GREEDY, answer

PROMPT = list(range(60, 120))


async def test_an_adapter_changes_the_model_until_it_is_taken_off(tiny: Path, tmp_path: Path) -> None:
    adapter = write_random_lora(tmp_path / "adapter.gguf", TINY, gain=3.0)
    client = KernelClient()
    request = GenerateRequest(PROMPT, max_tokens=20, sampling=GREEDY)
    try:
        await client.load(LoadRequest(tiny, threads=1))
        plain = await answer(client, request)
        saved = tmp_path / "plain.kv"
        await client.save_sequence("main", saved)
        await client.set_lora(adapter)
        assert (await client.stats()).cells_used == 0
        assert await client.restore_sequence("main", saved) == 0  # made without the adapter
        adapted = await answer(client, request)
        assert adapted.tokens != plain.tokens
        os.kill(client.pid, signal.SIGKILL)
        while not client.restarts:
            await asyncio.sleep(0.01)
        assert (await answer(client, request)).tokens == adapted.tokens  # it comes back after a panic
        await client.set_lora(adapter, 0.0)
        assert (await answer(client, request)).tokens == plain.tokens
        await client.set_lora(None)
        assert await client.restore_sequence("main", saved) == len(PROMPT) + 19
        assert (await answer(client, request)).tokens == plain.tokens
        with pytest.raises(KernelError, match="finite"):
            await client.set_lora(adapter, float("nan"))
        with pytest.raises(KernelError, match="does not exist"):
            await client.set_lora(tmp_path / "none.gguf")
    finally:
        await client.close()


def test_the_fastest_count_wins() -> None:
    clock = iter(range(10**9))
    cost = {1: 30, 2: 10, 3: 20, 4: 40}
    now = 0.0
    seen: list[int] = []

    def tick() -> float:
        return now

    def decode_one(count: int) -> None:
        nonlocal now
        seen.append(count)
        now += cost[count] * 1e-3
        next(clock)

    original = threads.time.perf_counter
    threads.time.perf_counter = tick  # type: ignore[assignment]
    try:
        fastest, pace = threads.probe(decode_one, 4, budget=10)
    finally:
        threads.time.perf_counter = original
    assert fastest == 2
    assert pace == pytest.approx(0.01)
    assert set(seen) == {1, 2, 3, 4}


def test_candidates() -> None:
    assert threads.candidates(1) == [1]
    assert threads.candidates(2) == [2, 1]
    assert threads.candidates(8) == [8, 4]
    assert threads.candidates(16) == [16, 8]
    assert threads.cpu_limit() >= 1


def test_threads_by_the_size_of_a_batch(tiny: Path) -> None:
    engine = Engine(tiny, context=256, threads=1)
    library, _, context, _ = engine.handles
    engine.set_threads(1, 2, 3)
    used = []
    for at, count in enumerate((1, MANY - 1, MANY, 2)):
        engine.decode([(20, row, at, row == count - 1) for row in range(count)])
        used.append((library.llama_n_threads(context), library.llama_n_threads_batch(context)))
    assert used == [(1, 2), (1, 2), (1, 3), (1, 2)]
    engine.set_threads(2)
    engine.decode([(20, row, 4, row == 0) for row in range(MANY)])
    assert library.llama_n_threads_batch(context) == 2
    engine.close()


@pytest.mark.parametrize("room", [32, 2048])
def test_the_probe_leaves_the_cache_empty_also_where_it_is_small(tiny: Path, room: int) -> None:
    engine = Engine(tiny, context=room, threads=1, max_sequences=2)
    fastest, pace = model.probe_threads(engine)
    assert 1 <= fastest <= threads.cpu_limit() and pace > 0
    assert engine.last_position(1) == -1
    engine.close()


def test_decoding_that_got_slow_is_probed_again(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replies: list[Any] = []
    operations = Operations(lambda _n, _m: None, lambda _n, value, _p=b"": replies.append(value))
    operations.handle(1, {"op": "load", "request": {"path": str(tiny)}}, b"")
    probes: list[float] = []

    def probe(_engine: object) -> tuple[int, float]:
        probes.append(1)
        return 1, 0.5

    monkeypatch.setattr(model, "probe_threads", probe)
    scheduler = operations.scheduler
    assert scheduler is not None
    monkeypatch.setattr(type(scheduler), "tokens_per_second", property(lambda _self: 10.0))
    operations.loaded.seconds_per_token = 0.09  # 11 a second then, 10 now
    for _ in range(5000):
        operations.after_step()
    assert not probes
    operations.loaded.seconds_per_token = 0.01  # 100 a second then
    for _ in range(5000):
        operations.after_step()
    assert len(probes) == 1  # the new pace is the measure from now on
    assert operations.loaded.seconds_per_token == 0.5
    operations.loaded.engine.close()
