"""Kill -9 in the middle of evictions, recalls, KV swaps and summaries: nothing committed is lost.

The killed program is the real one (store, pager, kernel worker); program and worker are killed
together. After each kill the map is read as a restart reads it: every page once, where it was.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from llmos_ram.pager import Pager

from llmos.bench.random_gguf import Shape, write_random_gguf
from llmos.conversation.session import open_session
from llmos.conversation.store import Store
from llmos.conversation.swap import Swap
from llmos.kernel.swap import SwapKey, read_state, write_state
from llmos.settings import folders
from llmos.types import TurnDone
from tests.helpers.pager_chatter import settings

from .conftest import FakeHost

ROOT = Path(__file__).resolve().parents[3]
#: Its KV state of a full window takes a megabyte, so that a kill can fall into the writing.
SHAPE = Shape("paging", 128, 4, 4, 4, 128, 512, tied=False)
OPERATIONS = ["evict", "recall", "save", "restore", "summarise"]


def kill_all(process: subprocess.Popen[str]) -> None:
    """SIGKILL for the program and everything that it started, the worker first."""
    family = psutil.Process(process.pid).children(recursive=True)
    for one in [*family, psutil.Process(process.pid)]:
        one.kill()
    psutil.wait_procs(family, timeout=30)


def run_and_kill(model: Path, chat_id: str, operation: str, nth: int, delay: float) -> tuple[list[str], bool]:
    """Let it page, kill it soon after an operation began; (its lines, whether that was still going on)."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.helpers.pager_chatter", str(model), *([chat_id] if chat_id else [])],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ,
    )  # fmt: skip
    assert process.stdout is not None and process.stderr is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if line.strip() == f"begin {operation}":
            nth -= 1
            if nth <= 0:
                time.sleep(delay)
                break
    assert process.poll() is None and nth <= 0, process.stderr.read()
    kill_all(process)
    rest, errors = process.communicate(timeout=30)
    assert "Traceback" not in errors, errors
    lines += rest.splitlines(keepends=True)
    whole = [line.rstrip("\n") for line in lines if line.endswith("\n")]
    last = next(
        line for line in reversed(whole) if line.startswith((f"begin {operation}", f"done {operation}"))
    )
    return whole, last.startswith("begin")


def check_store(chat_id: str, lines: list[str]) -> None:
    """What was promised is there; every page is on the map once, where the last commit put it."""
    store = Store(folders().store_file)
    assert store.notices == []
    assert store.database.execute("PRAGMA integrity_check")[0][0] == "ok"
    branch = store.branch(chat_id)
    here = {message.id for message in branch}
    assert {line.split()[1] for line in lines if line.startswith("promised ")} <= here
    attached = {page.id for message in branch for page in message.pages}
    assert {line.split()[1] for line in lines if line.startswith("brought ")} <= attached
    states = store.page_states(chat_id)
    assert set(states) <= here | attached
    gone = {page for line in lines if line.startswith("done evict") for page in line.split()[2:]}
    assert all(states[page].swapped for page in gone)
    store.close()


def check_pager(host_folder: Path, chat_id: str) -> None:
    """``ram.db``: a row a message, found by its words; summaries whole, linked, and of no page twice."""
    pager = Pager(FakeHost(host_folder))  # type: ignore[arg-type]
    assert pager.store.set_aside is None
    db = pager.store._all
    assert db("PRAGMA integrity_check")[0][0] == "ok"
    assert db("SELECT row FROM pages EXCEPT SELECT rowid FROM pages_fts") == []
    assert db("SELECT rowid FROM pages_fts EXCEPT SELECT row FROM pages") == []
    assert db("SELECT row FROM summaries EXCEPT SELECT rowid FROM summaries_fts") == []
    assert db("SELECT rowid FROM summaries_fts EXCEPT SELECT row FROM summaries") == []
    assert db("SELECT page_row FROM summary_pages GROUP BY page_row HAVING count(*) > 1") == []
    assert db("SELECT page_row FROM summary_pages EXCEPT SELECT row FROM pages") == []
    assert all(one.pages and one.text for one in pager.store.summaries(chat_id))
    store = Store(folders().store_file)
    branch = store.branch(chat_id)
    store.close()
    pager.index(chat_id, branch)  # what a kill left out is indexed by the next turn
    told = [message for message in branch if message.content.startswith("The code of locker")]
    for message in random.Random(len(told)).sample(told, min(3, len(told))):
        number = message.content.split()[4]
        found = pager.recall(f"What is the code of locker {number}?", chat_id, budget=5_000)
        assert message.content in [one.page.text for one in found]
    pager.close()


async def check_map(model: Path, chat_id: str, *, reopen: bool) -> None:
    """The map of the chat before it is opened, and after it was opened and talked in."""
    async with open_session(settings(str(model)), face="test") as session:
        for _ in range(2 if reopen else 1):
            pages = [page for page in session.services.window_pages(chat_id) if page.kind != "system"]
            ids = [page.id for page in pages]
            branch = session.store.branch(chat_id)
            said = [one.id for one in branch if one.role != "assistant" or one.content]
            brought = [page.id for one in branch for page in one.pages]
            assert sorted(ids) == sorted([*said, *brought])
            states = session.store.page_states(chat_id)
            for page in pages:
                swapped = page.id in states and states[page.id].swapped
                assert page.where == ("swapped" if swapped else "window")
            if reopen:
                chat = session.conversation(chat_id)
                await chat.open()
                events = [one async for one in chat.send("Go on.", options={"max_tokens": 2, "tool_rounds": 0})]
                assert isinstance(events[-1], TurnDone) and events[-1].message.status == "complete"


def check_swap() -> None:
    """No half-written state has the name of a whole one; what was half-written goes with the next save."""
    Swap(folders().swap, 1024).trim()
    assert list(folders().swap.glob("*.part")) == []


async def kill_often(times: int, seed: int, tmp_path: Path) -> dict[str, int]:
    """Kill so many times; returns how often each operation was going on."""
    model = write_random_gguf(tmp_path / "paging.gguf", SHAPE)
    draw = random.Random(seed)
    chat_id, lines, caught = "", [], dict.fromkeys(OPERATIONS, 0)
    for number in range(times):
        operation = OPERATIONS[number % len(OPERATIONS)] if times > 3 else ["evict", "save", "recall"][number]
        nth = 1 if operation in ("summarise", "restore") else draw.randint(1, 6)
        new, during = run_and_kill(model, chat_id, operation, nth, draw.uniform(0, 0.03))
        lines += new
        caught[operation] += during
        chat_id = next(line.split()[1] for line in new if line.startswith("chat "))
        check_store(chat_id, lines)
        await check_map(model, chat_id, reopen=number % 5 == 0 or number == times - 1)
        check_pager(folders().data / "plugins" / "ram", chat_id)
        check_swap()
    return caught


async def test_three_kills_lose_nothing(tmp_path: Path) -> None:
    await kill_often(3, 1, tmp_path)


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_fifty_kills_lose_nothing(tmp_path: Path) -> None:
    caught = await kill_often(50, 2, tmp_path)
    print(f"killed in the middle of: {caught}")
    assert sum(caught.values()) >= 10


def test_a_state_whose_writing_was_killed_is_never_taken_for_one(tmp_path: Path) -> None:
    """A kill falls into the writing of 400 MB, over an older state of the same name."""
    path, key = tmp_path / "chat-m.kv", SwapKey("m", "t", "b", 512, "f16", True)
    write_state(path, key, [1, 2, 3], b"older state")
    code = (
        "from pathlib import Path; from llmos.kernel.swap import SwapKey, write_state; state = bytes(400_000_000); "
        f"print('ready', flush=True); write_state(Path({str(path)!r}), SwapKey('m', 't', 'b', 512, 'f16', True), [4], state)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    part = path.with_name(f"{path.name}.{process.pid}.part")
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size > 1_000_000):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.001)
    process.kill()
    process.communicate()
    assert part.stat().st_size > 1_000_000  # it was killed while it wrote
    assert read_state(path, key) == ([1, 2, 3], b"older state")
    part_as_state = tmp_path / "half-m.kv"
    part_as_state.write_bytes(part.read_bytes()[:-1])  # even under the right name half a state is none
    assert read_state(part_as_state, key) is None
    Swap(tmp_path, 1024).trim()
    assert not part.exists() and path.exists()
