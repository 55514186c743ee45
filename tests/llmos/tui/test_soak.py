"""Random use with kernel faults: no crash, no lost text (``make soak``; a short run in ``make test``).

``LLMOS_SOAK_MINUTES`` sets the length of the long run (120), ``LLMOS_SOAK_SEED`` its seed.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from llmos.conversation.store import Store
from llmos.folders import folders
from llmos.tui.drafts import HISTORY_KEY, HISTORY_LEAST
from llmos.types import Message
from tests.helpers.soak import Soak

# Read now: each test has an environment of its own.
MINUTES = float(os.environ.get("LLMOS_SOAK_MINUTES", "120"))
SEED = int(os.environ.get("LLMOS_SOAK_SEED", str(int(time.time()))))


async def _soak(soak: Soak, seconds: float) -> None:
    try:
        await soak.run(seconds)
    except BaseException:
        print("\n".join(soak.log))
        raise


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are written go to a folder of the test; the editor leaves the text as it is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDITOR", "true")
    monkeypatch.delenv("VISUAL", raising=False)


async def test_a_short_while_of_anything() -> None:
    soak = Soak(seed=1, fault_seconds=4)
    await _soak(soak, 10)
    assert soak.actions >= 25 and soak.written


def test_a_lost_word_is_found_out_and_one_that_a_full_history_let_go_is_not_one() -> None:
    store = Store(folders().store_file)
    chat = store.create_chat()
    soak = Soak(seed=1)
    soak.written = ["w1q11", "w2q22", "w3q33"]
    store.add_message(Message("user", "w1q11 sent", chat_id=chat.id))
    store.save_draft("new", "w2q22 unsent")
    store.save_draft(HISTORY_KEY, json.dumps(["w3q33 set aside"]))
    soak.check(None)
    store.save_draft(HISTORY_KEY, "[]")
    with pytest.raises(AssertionError, match="w3q33"):
        soak.check(None)
    store.save_draft(HISTORY_KEY, json.dumps(["w3q33 set aside", *["later"] * HISTORY_LEAST]))
    soak.check(None)
    store.save_draft(HISTORY_KEY, json.dumps(["later"] * HISTORY_LEAST))
    soak.check(None)
    assert soak.aged == 1 and soak.written == ["w1q11", "w2q22"]
    store.save_draft("new", "w2q222 is another word")
    with pytest.raises(AssertionError, match="w2q22"):
        soak.check(None)
    store.close()


@pytest.mark.soak
@pytest.mark.timeout(int(MINUTES * 60) + 900)
async def test_hours_of_anything() -> None:
    soak = Soak(SEED)
    began = time.monotonic()
    await _soak(soak, MINUTES * 60)
    minutes = (time.monotonic() - began) / 60
    print(
        f"\n{minutes:.0f} minutes, seed {SEED}: {soak.actions} actions, {soak.texts} texts, "
        f"{soak.faults} kernel faults, {soak.starts} starts, {soak.aged} texts left a full history"
    )
    assert soak.faults
