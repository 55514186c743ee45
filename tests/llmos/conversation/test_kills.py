"""Kill -9, SIGTERM and SIGHUP at random moments: no message that was promised is lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llmos.conversation.store import Store
from llmos.settings import folders

ROOT = Path(__file__).resolve().parents[3]


def run_and_kill(chat_id: str, number: int, delay: float) -> tuple[str, list[str]]:
    """Let it chat, kill it; returns (chat id, ids of promised messages)."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.helpers.chatter", *([chat_id] if chat_id else [])],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    assert process.stdout is not None
    lines = [process.stdout.readline(), process.stdout.readline()]  # it chats now
    time.sleep(delay)
    assert process.poll() is None, process.communicate()[1]
    process.send_signal(number)
    rest, errors = process.communicate(timeout=30)
    assert "Traceback" not in errors, errors
    lines += rest.splitlines()
    ids = [line.split()[1] for line in lines if line.startswith("promised ") and len(line.split()) == 2]
    return lines[0].split()[1], [one for one in ids if len(one) == 32]


def kill_often(times: int, seed: int) -> None:
    draw = random.Random(seed)
    chat_id, promised = "", []
    for _ in range(times):
        number = draw.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
        chat_id, ids = run_and_kill(chat_id, number, draw.uniform(0.0, 1.2))
        promised += ids
        store = Store(folders().store_file)
        assert store.notices == []
        assert store.database.execute("PRAGMA integrity_check")[0][0] == "ok"
        stored = {message.id: message for message in store.all_messages(chat_id)}
        assert set(promised) <= set(stored)
        branch = store.branch(chat_id)
        assert set(promised) <= {message.id for message in branch}
        for before, after in zip(branch, branch[1:], strict=False):  # noqa: RUF007
            assert after.parent_id == before.id
        answers = [message for message in branch if message.role == "assistant"]
        assert all(message.content.startswith("Answer ") for message in answers)
        assert [m for m in answers[:-1] if m.status == "partial"] == []
        states = store.page_states(chat_id)
        assert set(states) <= set(stored)
        assert store.search("Message", limit=1)
        store.close()
    assert len(promised) >= times


def test_no_promised_message_is_lost() -> None:
    kill_often(3, 1)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_no_promised_message_is_lost_fifty_times() -> None:
    kill_often(50, 2)
