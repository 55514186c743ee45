"""Room for what plugins bring, guessed before it is counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmos.conversation.budget import CONTEXT_TOKENS, Budget
from llmos.conversation.window import Window
from llmos.kernel.protocol import LoadRequest
from llmos.types import Message, Page
from tests.helpers.fake_kernel import FakeKernel
from tests.helpers.fake_plugins import FakePlugins


def window(text: str, *pages: Page) -> Window:
    made = Window("c")
    made.set_system("Be brief.")
    made.append(Message("user", text, chat_id="c", pages=pages))
    return made


async def budget(context: int = 2_048) -> Budget:
    kernel: Any = FakeKernel([], context=context)
    await kernel.load(LoadRequest(Path("model.gguf"), context=context))
    return Budget(kernel, FakePlugins(), None)


@pytest.mark.parametrize(
    "text",
    ["hi", "When was the pump replaced?", "wörter über größen " * 10],
    ids=["word", "question", "umlauts"],
)
async def test_the_guess_is_near_what_is_counted(text: str) -> None:
    made, held = await budget(), window(text)
    guess = made.rough_room(held)
    counted = await made.context_room(held)
    assert guess is not None and guess > 0 and abs(guess - counted) <= 0.1 * CONTEXT_TOKENS


@pytest.mark.parametrize(
    "held",
    [window("long " * 200), window("sum up", Page("much " * 200, "passage", source="a.md"))],
    ids=["message", "attached"],
)
async def test_much_is_counted_rather_than_guessed(held: Window) -> None:
    made = await budget()
    assert made.rough_room(held) is None
    await made.context_room(held)
    # Once counted there is nothing to guess.
    assert made.rough_room(held) == await made.context_room(held)
