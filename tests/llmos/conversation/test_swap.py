from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llmos.bench.random_gguf import write_random_gguf
from llmos.conversation.swap import LEAST_TOKENS, Swap
from llmos.kernel.client import KernelClient
from llmos.kernel.protocol import GenerateRequest, KernelError, LoadRequest
from llmos.types import Notice, TextDelta
from tests.helpers.fake_kernel import FakeKernel
from tests.llmos.conversation.conftest import Bench


async def held(kernel: FakeKernel, sequence: str, words: int) -> None:
    """Fill a sequence."""
    prompt = await kernel.tokenize(" ".join(f"w{n}" for n in range(words)))
    async for _ in kernel.generate(GenerateRequest(prompt=prompt, sequence=sequence)):
        pass


async def test_a_state_goes_out_and_comes_back(tmp_path: Path) -> None:
    kernel, swap = FakeKernel(["ok"]), Swap(tmp_path / "kv", 10)
    await held(kernel, "s", LEAST_TOKENS)
    assert await swap.save(kernel, "s", "chat") > 0
    assert (await kernel.stats()).sequences == ()
    assert await swap.restore(kernel, "s", "chat") >= LEAST_TOKENS
    assert (await kernel.stats()).sequences[0].tokens >= LEAST_TOKENS


async def test_short_ones_are_not_worth_it(tmp_path: Path) -> None:
    kernel, swap = FakeKernel(["ok"]), Swap(tmp_path / "kv", 10)
    await held(kernel, "s", 5)
    assert await swap.save(kernel, "s", "chat") == 0
    assert await swap.restore(kernel, "s", "chat") == 0


async def test_a_damaged_file_is_ignored_and_deleted(tmp_path: Path) -> None:
    kernel, swap = FakeKernel(), Swap(tmp_path, 10)
    path = swap.path(kernel, "chat")
    path.write_text("{broken")
    assert await swap.restore(kernel, "s", "chat") == 0
    assert not path.exists()


async def test_a_kernel_that_cannot_is_no_error(tmp_path: Path) -> None:
    class Refusing(FakeKernel):
        async def save_sequence(self, sequence: str, path: Path) -> int:
            raise KernelError("not here")

        async def restore_sequence(self, sequence: str, path: Path) -> int:
            raise KernelError("not here")

    kernel, swap = Refusing(["ok"]), Swap(tmp_path, 10)
    await held(kernel, "s", LEAST_TOKENS)
    assert await swap.save(kernel, "s", "chat") == 0
    swap.path(kernel, "chat").write_text("[]")
    assert await swap.restore(kernel, "s", "chat") == 0


def test_the_folder_is_capped_least_recently_used_first(tmp_path: Path) -> None:
    swap = Swap(tmp_path, 1)
    for number, name in enumerate(["old", "middle", "new"]):
        path = tmp_path / f"{name}-m.kv"
        path.write_bytes(b"x" * 400_000)
        os.utime(path, (number, number))
    swap.trim()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["middle-m.kv", "new-m.kv"]
    swap.forget("new")
    assert [path.name for path in tmp_path.iterdir()] == ["middle-m.kv"]


async def test_models_do_not_share_states(tmp_path: Path) -> None:
    swap = Swap(tmp_path, 1)
    names = {swap.path(FakeKernel(name=name), "chat").name for name in ("a", "b/../c")}
    assert len(names) == 2
    assert all("/" not in name for name in names)


async def test_a_chat_that_was_left_is_not_evaluated_again(make_bench: Callable[..., Any]) -> None:
    bench: Bench = await make_bench()
    chat = bench.chat()
    for turn in range(12):
        await bench.talk(chat, f"Message {turn} with a few words more")
    await bench.session.leave(chat.chat_id)
    assert (await bench.kernel.stats()).sequences == ()
    assert bench.session.conversations == []
    evaluated = bench.kernel.evaluated
    events = await bench.talk(bench.chat(chat.chat_id), "Back again")
    assert bench.kernel.evaluated - evaluated < 25
    assert events[-1].stats.cached_tokens > 100


async def test_a_chat_that_is_left_while_it_answers_is_closed_afterwards(
    make_bench: Callable[..., Any],
) -> None:
    bench: Bench = await make_bench()
    chat = bench.chat()
    for turn in range(12):
        await bench.talk(chat, f"Message {turn} with a few words more")
    async for event in chat.send("The last one"):
        if isinstance(event, TextDelta):
            await bench.session.leave(chat.chat_id)
            assert bench.session.conversations == [chat]
    await bench.session.jobs.close()
    assert bench.session.conversations == []
    assert bench.store.branch(chat.chat_id)[-1].status == "complete"
    events = await bench.talk(bench.chat(chat.chat_id), "Back again")
    assert events[-1].stats.cached_tokens > 100


async def test_a_save_that_fails_is_told_in_one_line_and_not_again_and_again(tmp_path: Path) -> None:
    """A real kernel and a folder that cannot be: the place is taken by a file."""
    told: list[Notice] = []
    kernel = KernelClient(log=tmp_path / "kernel.log")
    folder = tmp_path / "swap"
    folder.write_text("a file is here")
    swap = Swap(folder, 10, told.append)
    try:
        info = await kernel.load(LoadRequest(write_random_gguf(tmp_path / "m.gguf"), context=512, threads=1))
        prompt = [300 + n % (info.vocabulary - 300) for n in range(LEAST_TOKENS)]
        async for _ in kernel.generate(GenerateRequest(prompt, sequence="s", max_tokens=1)):
            pass
        assert await swap.save(kernel, "s", "chat") == 0
        assert await swap.save(kernel, "s", "chat") == 0
        assert len(told) == 1
        assert told[0].level == "warning"
        assert "was not kept" in told[0].text and "no message is lost" in told[0].text
        assert str(folder) in told[0].text and "\n" not in told[0].text
        assert [one.name for one in (await kernel.stats()).sequences] == ["s"]  # what was not saved stays
        folder.unlink()
        assert await swap.save(kernel, "s", "chat", keep=True) > 0
        assert swap.saved(kernel, "chat")[0] == swap.path(kernel, "chat").stat().st_size
        assert swap.saved(kernel, "other") == (0, 0.0)
    finally:
        await kernel.close()


async def test_a_disk_that_fills_up_is_told_while_the_chat_goes_on(make_bench: Callable[..., Any]) -> None:
    bench: Bench = await make_bench()

    async def full(sequence: str, path: Path) -> int:
        raise KernelError("The cache state cannot be written to x.kv (No space left on device).")

    bench.kernel.save_sequence = full  # type: ignore[method-assign]
    told: list[Notice] = []
    bench.session.on_notice(told.append)
    chat = bench.chat()
    for turn in range(12):
        await bench.talk(chat, f"Message {turn} with a few words more")
    await bench.session.leave(chat.chat_id)
    assert [one.text.count("No space left on device") for one in told] == [1]
    events = await bench.talk(bench.chat(chat.chat_id), "Back again")
    assert events[-1].message.status == "complete"
