"""The bundled model answers with a fact that left its window long ago."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from llmos.bench.paging_facts import filler
from llmos.conversation.session import open_session
from llmos.kernel.locate import with_role
from llmos.settings import Folders, Settings
from llmos.types import TurnDone

FACT = "My sister is called Orla."


async def answer_after(turns: int, folder: Path) -> tuple[bool, str]:
    """(the fact was still in the window by itself, the answer) after so many turns of other talk."""
    settings = Settings()
    settings.model.context = 512
    settings.chat.temperature = 0.0
    settings.plugins.disabled = ["disk", "web", "code", "mcp", "reason"]
    rng = random.Random(8)
    where = Folders(folder / "config", folder / "data", folder / "cache", folder / "log").make()
    async with open_session(settings, where=where) as session:
        await session.load_model()
        conversation = session.conversation()
        for text in [FACT, *[filler(rng) for _ in range(turns)]]:
            async for _ in conversation.send(text, options={"max_tokens": 8, "tool_rounds": 0}):
                pass
        kept = any(FACT in page.text for page in conversation.window.pages if page.where == "window")
        done = None
        async for event in conversation.send("What is my sister called?"):
            done = event
        assert isinstance(done, TurnDone)
        brought = next(
            slot for slot in reversed(conversation.window.slots) if slot.message.role == "user"
        ).attached
        assert any(FACT in page.text for page in brought) or kept
        return kept, done.message.content


async def test_a_fact_of_forty_turns_ago(tmp_path: Path) -> None:
    if with_role("chat") is None:
        pytest.skip("no model is bundled in this checkout")
    kept, answer = await answer_after(40, tmp_path)
    assert not kept
    assert "Orla" in answer


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_a_fact_of_three_hundred_turns_ago(tmp_path: Path) -> None:
    kept, answer = await answer_after(300, tmp_path)
    assert not kept
    assert "Orla" in answer
