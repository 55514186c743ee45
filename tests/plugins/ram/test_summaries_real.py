"""Summaries end to end: the bundled model, the real kernel, the plugin as it is loaded by the program."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from llmos.bench.paging_facts import filler
from llmos.conversation.quiet import Interrupted
from llmos.conversation.session import Session, open_session
from llmos.kernel.locate import with_role
from llmos.plugins import CommandContext
from llmos.settings import Folders, Settings


def settings(context: int = 512, **ram: Any) -> Settings:
    made = Settings()
    made.model.context = context
    made.chat.temperature = 0.0
    made.chat.titles = "off"
    made.plugins.disabled = ["disk", "web", "code", "mcp", "reason"]
    made.plugins.options = {"ram": {"summaries_after": 1, **ram}}
    return made


async def talk(session: Session, chat: Any, *texts: str) -> None:
    for text in texts:
        async for _ in chat.send(text, options={"max_tokens": 8, "tool_rounds": 0}):
            pass


async def shown(session: Session, chat_id: str) -> dict[str, Any]:
    run: Any = session.plugins.run_command  # type: ignore[attr-defined]
    result = await run("ram show", {"chat": chat_id}, CommandContext("cli", chat_id))
    return dict(result.data)


async def until_summarised(session: Session, chat: Any, rng: random.Random) -> dict[str, Any]:
    """Wait; a summary by a model waits until the cache has room beside the chat, so talk goes on now and then."""
    for _ in range(20):
        for _ in range(10):
            if (data := await shown(session, chat.chat_id))["summaries"]:
                return data
            await asyncio.sleep(0.3)
        await talk(session, chat, filler(rng))
    raise AssertionError("no summary was made")


@pytest.mark.parametrize("how", ["auto", "model"])
async def test_what_left_is_summarised_when_it_is_quiet_and_comes_when_the_chat_is_asked_for(
    how: str, tmp_path: Path
) -> None:
    if with_role("chat") is None:
        pytest.skip("no model is bundled in this checkout")
    where = Folders(*(tmp_path / name for name in ("config", "data", "cache", "log"))).make()
    rng = random.Random(4)
    async with open_session(settings(512 if how == "auto" else 1024, summaries=how), where=where) as session:
        info = await session.load_model()
        chat = session.conversation()
        await talk(
            session,
            chat,
            "My sister is called Orla.",
            *[filler(rng) for _ in range(24 if how == "auto" else 56)],
        )
        data = await until_summarised(session, chat, rng)
        summary = data["summaries"][0]
        said = {message.id: message for message in session.store.branch(chat.chat_id)}
        assert len(summary["messages"]) >= 6 and set(summary["messages"]) <= set(said)
        where_now = {page["id"]: page["where"] for page in data["pages"]}
        assert all(where_now[message] == "swapped" for message in summary["messages"])
        source = " ".join(" ".join(said[message].content.split()) for message in summary["messages"])
        # The bundled model is far below the size from which models write summaries by themselves.
        assert summary["how"] == "key sentences" or (how == "model" and summary["how"] == info.name)
        if summary["how"] == "key sentences":
            told = summary["text"].replace("You said: ", "").replace("The model said: ", "")
            assert set(told.split()) <= set(source.split())
        assert summary["integrity"] == "trusted" and summary["confidentiality"] == "private"
        held = data["figures"]["kv"]
        assert held["capacity_bytes"] == info.memory["kv"] and 0 < held["bytes"] <= held["capacity_bytes"]
        turns = sum(message.role == "user" for message in said.values())
        assert data["figures"]["counted_turns"] == turns and data["figures"]["evaluated_last"] > 0
        print(f"{how}: {summary['how']}: {summary['text']}")
        await talk(session, chat, "What did we talk about so far?")
        brought = [page for page in chat.window.pages if page.kind == "summary"]
        assert brought
        kept = (await shown(session, chat.chat_id))["summaries"]  # others may have been made meanwhile
        assert brought[0].text in [one["text"] for one in kept]


async def test_a_summary_that_is_being_written_ends_when_the_person_sends(tmp_path: Path) -> None:
    if with_role("chat") is None:
        pytest.skip("no model is bundled in this checkout")
    where = Folders(*(tmp_path / name for name in ("config", "data", "cache", "log"))).make()
    async with open_session(settings(), where=where) as session:
        await session.load_model()
        endless = "root ::= " + " ".join(["part"] * 50) + "\npart ::= [a-z]{40}"  # it cannot end by itself
        writing = asyncio.create_task(
            session.services.generate("Write.", max_tokens=480, grammar=endless, while_quiet=True)
        )
        while (await session.kernel.stats()).running == 0:
            assert not writing.done()
            await asyncio.sleep(0.001)
        await talk(session, session.conversation(), "I am back")
        with pytest.raises(Interrupted):
            await writing
        names = [one.name for one in (await session.kernel.stats()).sequences]
        assert not any(name.startswith("plugin-") for name in names)  # and its cache is free again
