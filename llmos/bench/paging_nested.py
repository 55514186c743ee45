"""Nested key-value lookups (Packer et al. 2023, MemGPT): a value may be the key of another pair.

A fixed loop stands for the model: it calls the tool ``recall`` with the value just found, until that
is no key any more. The pairs were said in a chat and lie outside of the window.
"""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from llmos.bench.figures import Figure, figure
from llmos.conversation.session import Session
from llmos.plugins import ToolContext
from llmos.types import Message, ToolCall

DEPTHS = range(5)
_CHAINS = 6
_ALONE = 40
_LINE = re.compile(r"The value of key ([0-9a-f-]{36}) is ([0-9a-f-]{36})\.")


def make_chains(rng: random.Random) -> tuple[list[list[str]], list[tuple[str, str]]]:
    """Chains of keys, ``depth + 2`` long each, and all pairs in mixed order with others among them."""
    chains = [[_key(rng) for _ in range(depth + 2)] for depth in DEPTHS for _ in range(_CHAINS)]
    pairs = [pair for chain in chains for pair in pairwise(chain)]
    pairs += [(_key(rng), _key(rng)) for _ in range(_ALONE)]
    rng.shuffle(pairs)
    return chains, pairs


def _key(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


async def nested(session: Session, seed: int, say: Callable[[str], None]) -> list[Figure]:
    """Share of chains whose end is found, at every depth."""
    chains, pairs = make_chains(random.Random(f"nested-{seed}"))
    conversation = session.conversation()
    parent: str | None = None
    store = session.store
    store.create_chat(chat_id=conversation.chat_id)
    for key, value in pairs:
        for role, text in (("user", f"The value of key {key} is {value}."), ("assistant", "Noted.")):
            message = Message(role, text, chat_id=conversation.chat_id, parent_id=parent)  # type: ignore[arg-type]
            store.add_message(message)
            parent = message.id
    async for _ in conversation.send("Shall we go on with the keys?", options={"max_tokens": 4}):
        pass
    say(f"nested lookups over {len(pairs)} pairs")
    figures = []
    for depth in DEPTHS:
        own = [chain for chain in chains if len(chain) == depth + 2]
        found = 0
        for chain in own:
            found += await _follow(session, conversation.chat_id, chain[0]) == chain[-1]
        limit: dict[str, Any] = {"relation": ">=", "limit": 1.0}
        figures.append(figure(f"nested lookups, depth {depth}", found / len(own), "share", **limit))
    await session.leave(conversation.chat_id)
    return figures


async def _follow(session: Session, chat_id: str, key: str) -> str:
    """The end of the chain that begins with a key, as far as the tool leads."""
    for _ in range(len(DEPTHS) + 1):
        call = ToolCall("recall", {"query": f"The value of key {key}"})
        result = await session.plugins.call_tool(call, ToolContext(chat_id))
        value = next((value for name, value in _LINE.findall(result.text) if name == key), None)
        if value is None:
            return key
        key = value
    return key
