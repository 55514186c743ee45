"""Answers keep the tokens they were written in, and only where nothing else was said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.kernel.client import KernelClient
from llmos.kernel.memo import TokenMemo, cut_spans, marked_text
from llmos.kernel.protocol import GenerateRequest
from llmos.types import Message, SamplingSettings
from tests.llmos.kernel.helpers import answer

spans = st.lists(st.tuples(st.text("ab", min_size=1, max_size=4), st.booleans()), max_size=6)


@given(spans, st.integers(0, 30))
def test_a_cut_anywhere(parts: list[tuple[str, bool]], length: int) -> None:
    marked = marked_text(parts)
    rest = cut_spans(parts, min(length, len(marked)))
    if rest is not None:
        assert marked_text(rest) == marked[length:]


def test_literal_names_never_match_special_tokens() -> None:
    memo = TokenMemo()
    memo.rendered((1, 5), "<|im_start|>user")
    memo.answered((1, 5), (9,), "answer")
    assert memo.match(marked_text([("<|im_start|>useranswer, and more", True)])) == (22, (1, 5, 9))
    assert memo.match(marked_text([("<|im_start|>", False), ("useranswer", True)])) == (0, ())


def test_what_is_unclear_is_not_remembered() -> None:
    memo = TokenMemo(size=2)
    memo.rendered((1,), "a")
    memo.answered((1,), (2,), "�")
    memo.answered((1,), (2,), "\0")
    memo.answered((7,), (2,), "never rendered")
    assert memo.match("a") == (0, ())
    for number in range(5):
        memo.answered((1,), (number,), f"b{number}")
    assert memo.match("ab0") == (0, ())
    assert memo.match("ab4") == (3, (1, 4))
    memo.clear()
    assert memo.match("ab4") == (0, ())


@pytest.mark.asyncio(loop_scope="module")
async def test_the_next_turn_finds_the_answer_in_the_cache(kernel: KernelClient) -> None:
    # Random weights cut words as no tokenizer would; letters only, so that the text is clear.
    chat = [Message("user", "tell me")]
    hot = SamplingSettings(temperature=1.5, top_k=0, seed=1)
    before = 0
    for turn in range(4):
        prompt = (await kernel.render_chat(chat)).tokens
        made = await answer(
            kernel,
            GenerateRequest(
                prompt, max_tokens=40, sampling=hot, grammar='root ::= "x" [a-z]+', sequence="chat"
            ),
        )
        assert made.end.cached_tokens >= before
        chat += [Message("assistant", made.text), Message("user", f"more {turn}")]
        longer = (await kernel.render_chat(chat)).tokens
        assert longer[: len(prompt) + len(made.tokens)] == (*prompt, *made.tokens)
        assert await kernel.detokenize(longer) == (await kernel.render_chat(chat)).text
        before = len(prompt) + len(made.tokens) - 1
