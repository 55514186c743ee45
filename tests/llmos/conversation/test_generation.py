"""How an answer that is gone on with keeps the tokens that it was written in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from llmos.conversation.generation import Generator
from llmos.kernel.families import family_named
from llmos.kernel.protocol import Chunk, Finished, GenerateEvent, GenerateRequest
from llmos.types import Message, TextDelta, ThinkingDelta, TokenCount, TurnDone, TurnRequest
from tests.helpers.fake_kernel import FakeKernel

ASKED = TurnRequest([Message("user", "Why?")])


class Letters(FakeKernel):
    """Writes letter by letter what its tokenizer would cut into words."""

    async def generate(self, request: GenerateRequest) -> AsyncIterator[GenerateEvent]:
        self.requests.append(request)
        for letter in str(self.script.pop(0)):
            yield Chunk(letter, (self._id(letter),))
        yield Finished("stop", 0, 1, 0, 1)


async def ask(generator: Generator, request: TurnRequest) -> str:
    return "".join(
        [event.text async for event in generator(request) if isinstance(event, TextDelta | ThinkingDelta)]
    )


async def test_a_prefix_that_was_just_written_keeps_its_tokens() -> None:
    kernel = Letters(["because so", " it is", "new"])
    generator = Generator(kernel, lambda text: text)
    await ask(generator, ASKED)
    prompt = kernel.requests[0].prompt
    assert await ask(generator, replace(ASKED, options={"prefix": "because so,"})) == "because so, it is"
    written = [*(kernel._id(letter) for letter in "because so"), kernel._id(",")]
    assert list(kernel.requests[1].prompt) == [*prompt, *written]
    # Another text, or another prompt, is cut as ever.
    await ask(generator, replace(ASKED, options={"prefix": "quite else"}))
    assert list(kernel.requests[2].prompt) == [*prompt, *await kernel.tokenize("quite else")]


async def test_tokens_that_do_not_say_the_text_are_not_kept() -> None:
    class Split(Letters):
        async def detokenize(self, tokens: object, *, special: bool = True) -> str:
            return "half a letter"

    kernel = Split(["because", "x"])
    generator = Generator(kernel, lambda text: text)
    await ask(generator, ASKED)
    await ask(generator, replace(ASKED, options={"prefix": "because"}))
    assert list(kernel.requests[1].prompt) == [*kernel.requests[0].prompt, kernel._id("because")]


async def test_thoughts_that_the_template_opened_are_not_opened_twice() -> None:
    class Opened(Letters):
        async def render_chat(self, *args: object, **options: object) -> object:  # type: ignore[override]
            made = await FakeKernel.render_chat(self, [Message("user", "Why?")])
            return replace(made, text=made.text + "<think>\n")

    kernel = Opened(["7"])
    text = await ask(
        Generator(kernel, lambda text: text), replace(ASKED, options={"prefix": "<think>\nhm\n</think>\n"})
    )
    assert text.replace("\n", "") == "hm7"
    begun = list(kernel.requests[0].prompt)
    assert kernel._id("<think>") not in begun and kernel._id("</think>") in begun


@pytest.mark.parametrize(
    ("family", "begun"),
    [
        ("hermes", "<think>\nhm\n</think>\nSo "),
        ("gemma", "<|channel>thought\nhm\n<channel|>So "),
        ("mistral", "[THINK]hm[/THINK]So "),
        ("gpt-oss", "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>So "),
    ],
)
async def test_thoughts_are_closed_as_the_family_does(family: str, begun: str) -> None:
    kernel = Letters(["7"])
    assert kernel._model is not None
    kernel._model = replace(kernel._model, tool_family=family, chat_template="")
    kernel.parse_answer = family_named(family).parse  # type: ignore[method-assign]
    generator = Generator(kernel, lambda text: text)
    ends = [event async for event in generator(replace(ASKED, options={"thoughts": "hm", "prefix": "So "}))]
    prompt = await kernel.detokenize(kernel.requests[0].prompt)
    assert prompt.endswith(f"<|im_start|>assistant\n{begun}")
    done = ends[-1]
    assert isinstance(done, TurnDone)
    assert (done.message.thinking, done.message.content) == ("hm", "So 7")


class Dirty(Letters):
    """Writes characters that are never shown, one of them between two letters."""

    written = "<think>\nba\x07d\u200b b\u202eell"


async def test_thoughts_that_were_shown_cleaned_keep_the_tokens_they_were_written_in() -> None:
    kernel = Dirty([Dirty.written, "7"])
    generator = Generator(kernel, lambda text: text)
    shown = await ask(generator, ASKED)
    assert shown == "bad bell"
    text = await ask(generator, replace(ASKED, options={"thoughts": "bad bel", "prefix": ""}))
    assert text == "bad bel7"
    kept = [kernel._id(letter) for letter in Dirty.written[:-1]]
    closing = await kernel.tokenize("\n</think>\n")
    assert list(kernel.requests[1].prompt) == [*kernel.requests[0].prompt, *kept, *closing]


async def test_an_answer_that_had_begun_after_its_thoughts_is_not_thought_anew() -> None:
    kernel = Letters(["<think>\nhm\n</think>\nIt is", " 7."])
    generator = Generator(kernel, lambda text: text)
    await ask(generator, ASKED)
    text = await ask(generator, replace(ASKED, options={"thoughts": "hm", "prefix": "It i"}))
    assert text == "hmIt i 7."
    kept = [kernel._id(letter) for letter in "<think>\nhm\n</think>\nIt i"]
    assert list(kernel.requests[1].prompt) == [*kernel.requests[0].prompt, *kept]


async def test_tokens_are_counted_while_they_come() -> None:
    count = TokenCount()
    generator = Generator(Letters(["because"]), lambda text: text)
    seen = []
    async for event in generator(replace(ASKED, options={"token_count": count})):
        if isinstance(event, TextDelta):
            seen.append(count.tokens)
    assert seen == list(range(1, 8))
