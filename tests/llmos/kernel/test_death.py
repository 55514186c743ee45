"""The worker is killed in every way; the client goes on, nothing is lost, the person is told."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from llmos.bench.random_gguf import Shape, write_random_gguf
from llmos.kernel.client import KernelClient
from llmos.kernel.protocol import Chunk, GenerateRequest, KernelDied, KernelError, LoadRequest
from llmos.types import Notice
from tests.llmos.kernel.helpers import GREEDY, answer

PROMPT = list(range(60, 120))
ENDLESS = {0: -1e9, 2: -1e9}


@pytest_asyncio.fixture
async def client(tiny: Path) -> AsyncIterator[KernelClient]:
    made = KernelClient()
    await made.load(LoadRequest(tiny, context=2048, threads=1))
    yield made
    await made.close()


async def _until_first_text(client: KernelClient, stream: AsyncIterator[object]) -> str:
    async for event in stream:
        if isinstance(event, Chunk) and event.text:
            return event.text
    raise AssertionError("no text came")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
async def test_killed_in_mid_answer_and_goes_on(client: KernelClient, number: signal.Signals) -> None:
    notices: list[Notice] = []
    client.on_notice(notices.append)
    expected = await answer(client, GenerateRequest(PROMPT, max_tokens=30, sampling=GREEDY))
    stream = client.generate(GenerateRequest(PROMPT, sampling=GREEDY, bias=ENDLESS))
    text = await _until_first_text(client, stream)
    pid = client.pid
    os.kill(pid, number)
    with pytest.raises(KernelDied):
        async for event in stream:
            if isinstance(event, Chunk):
                text += event.text
    assert text  # what came before stands
    again = await answer(client, GenerateRequest(PROMPT, max_tokens=30, sampling=GREEDY))
    assert again.text == expected.text
    assert client.pid != pid
    assert client.restarts == (await client.stats()).restarts == 1
    assert [notice.level for notice in notices] == ["warning"]
    assert number.name in notices[0].text


async def test_every_waiting_call_is_told(client: KernelClient) -> None:
    streams = [
        answer(client, GenerateRequest(PROMPT, sampling=GREEDY, bias=ENDLESS, sequence=f"s{n}"))
        for n in range(3)
    ]
    tasks = [asyncio.create_task(stream) for stream in streams]
    await asyncio.sleep(0.05)
    os.kill(client.pid, signal.SIGKILL)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, KernelDied) for result in results)
    assert len(await client.tokenize("still here")) > 0


async def test_a_call_during_the_restart_waits(client: KernelClient) -> None:
    os.kill(client.pid, signal.SIGKILL)
    for _ in range(200):
        if client.restarts:
            break
        await asyncio.sleep(0.01)
    assert (await answer(client, GenerateRequest(PROMPT, max_tokens=3))).end.completion_tokens > 0


async def test_killed_while_loading_another_model(client: KernelClient, tiny: Path) -> None:
    before = client.model
    os.kill(client.pid, signal.SIGSTOP)  # so that the kill comes before the load can end
    task = asyncio.create_task(client.load(LoadRequest(tiny, context=512, threads=1)))
    await asyncio.sleep(0.05)
    os.kill(client.pid, signal.SIGKILL)
    with pytest.raises(KernelDied, match="while loading"):
        await task
    assert await client.tokenize("x")
    assert (await client.stats()).context == 2048
    assert client.model == before


async def test_killed_while_loading_the_first_model(tiny: Path) -> None:
    client = KernelClient()
    try:
        task = asyncio.create_task(client.load(LoadRequest(tiny, threads=1)))
        while not client.pid:
            await asyncio.sleep(0.001)
        os.kill(client.pid, signal.SIGKILL)
        with pytest.raises(KernelDied, match="while loading"):
            await task
        assert (await client.load(LoadRequest(tiny, threads=1))).name == "random-tiny"
    finally:
        await client.close()


async def test_a_kernel_that_keeps_dying_is_left_stopped(client: KernelClient) -> None:
    notices: list[Notice] = []
    client.on_notice(notices.append)
    for _ in range(4):
        pid = client.pid
        os.kill(pid, signal.SIGKILL)
        for _ in range(500):
            if (notices and client.pid != pid) or (notices and notices[-1].level == "error"):
                break
            await asyncio.sleep(0.01)
        if notices and notices[-1].level == "error":
            break
        while True:  # ready again
            try:
                await client.stats()
                break
            except KernelDied:
                continue
    assert notices[-1].level == "error"
    with pytest.raises(KernelError, match="4 times"):
        await client.tokenize("x")
    model = client.model
    assert model is not None
    await client.load(LoadRequest(Path(model.path), threads=1))  # the person may try again
    assert await client.tokenize("x")


async def test_a_file_cut_off_under_the_running_worker(tmp_path: Path) -> None:
    shape = Shape("cut", 256, 6, 4, 2, 1024, 2000, tied=False)
    file = write_random_gguf(tmp_path / "cut.gguf", shape)
    client = KernelClient()
    notices: list[Notice] = []
    client.on_notice(notices.append)
    try:
        await client.load(LoadRequest(file, context=512, threads=1))
        stream = client.generate(GenerateRequest(PROMPT, sampling=GREEDY, bias=ENDLESS))
        await _until_first_text(client, stream)
        os.truncate(file, 8192)
        with pytest.raises(KernelDied):
            async for _ in stream:
                pass
        with pytest.raises(KernelError, match=r"could not load the model again.*(cut off|damaged)"):
            await client.tokenize("x")
        assert notices[-1].level == "error"
    finally:
        await client.close()


async def test_closing_the_iterator_stops_the_work(client: KernelClient) -> None:
    stream = client.generate(GenerateRequest(PROMPT, sampling=GREEDY, bias=ENDLESS, sequence="long"))
    await _until_first_text(client, stream)
    await stream.aclose()  # type: ignore[attr-defined]
    for _ in range(100):
        stats = await client.stats()
        if not stats.running:
            break
        await asyncio.sleep(0.01)
    assert stats.running == 0
    held = next(one.tokens for one in stats.sequences if one.name == "long")
    assert len(PROMPT) <= held < 2047


async def test_cancelling_stops_the_work(client: KernelClient) -> None:
    task = asyncio.create_task(answer(client, GenerateRequest(PROMPT, sampling=GREEDY, bias=ENDLESS)))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    made = await answer(client, GenerateRequest(PROMPT, max_tokens=2, sampling=GREEDY))
    assert made.end.completion_tokens > 0


async def test_close_ends_the_process(tiny: Path) -> None:
    client = KernelClient()
    await client.load(LoadRequest(tiny, threads=1))
    pid = client.pid
    await client.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(KernelError, match="closed"):
        await client.tokenize("x")


def test_the_worker_dies_with_its_parent(tiny: Path) -> None:
    script = textwrap.dedent(
        f"""
        import asyncio, os, signal
        from pathlib import Path
        from llmos.kernel.client import KernelClient
        from llmos.kernel.protocol import GenerateRequest, LoadRequest

        async def main():
            client = KernelClient()
            await client.load(LoadRequest(Path({str(tiny)!r}), threads=1))
            stream = client.generate(GenerateRequest(list(range(60, 90)), bias={{0: -1e9, 2: -1e9}}))
            await anext(stream)
            print(client.pid, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(main())
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    pid = int(done.stdout)
    for _ in range(100):
        if not _alive(pid):
            return
        time.sleep(0.05)
    raise AssertionError("the worker outlived its parent")


def test_a_folder_named_llmos_in_the_working_directory_is_not_run(tiny: Path, tmp_path: Path) -> None:
    trap = tmp_path / "llmos" / "kernel"
    trap.mkdir(parents=True)
    for folder in (trap.parent, trap):
        (folder / "__init__.py").write_text("open('trapped', 'w').close()", encoding="utf-8")
    (tmp_path / "json.py").write_text("open('trapped', 'w').close()", encoding="utf-8")
    script = textwrap.dedent(
        f"""
        import asyncio
        from pathlib import Path
        from llmos.kernel.client import KernelClient
        from llmos.kernel.protocol import LoadRequest

        async def main():
            client = KernelClient()
            await client.load(LoadRequest(Path({str(tiny)!r}), threads=1))
            print(await client._renderer.render("hello", {{"messages": []}}))
            await client.close()

        asyncio.run(main())
        """
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=tmp_path,
    )
    assert done.stdout == "hello\n", done.stderr
    assert not (tmp_path / "trapped").exists()


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
        return state != "Z"
    except FileNotFoundError:
        pass
    if Path("/proc/self").exists():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
