"""Chat templates: content stays content, odd templates are humoured, looping ones are stopped."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from llmos.formats import CHAT_TEMPLATE, SPECIAL_TOKENS
from llmos.kernel.protocol import KernelError
from llmos.kernel.rendering import Renderer
from llmos.kernel.templates import (
    PLAIN_TEMPLATE,
    Neutraliser,
    TemplateRefused,
    chat_values,
    render,
    render_patiently,
    special_names,
    with_tool_instructions,
)
from llmos.types import Message, ToolCall, ToolSpec

VALUES = {"add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>"}
TOOL = ToolSpec("look", "Looks.", {"type": "object", "properties": {"at": {"type": "string"}}})


def _chat(*messages: Message, tools: tuple[ToolSpec, ...] = ()) -> dict[str, object]:
    return {**chat_values(messages, tools), **VALUES}


def test_the_own_template() -> None:
    text = render(
        CHAT_TEMPLATE,
        _chat(
            Message("system", "S"),
            Message("user", "U"),
            Message("assistant", "", tool_calls=(ToolCall("look", {"at": "ä"}),)),
            Message("tool", "R", name="look"),
            tools=(TOOL,),
        ),
    )
    assert "Tools: look(at)" in text
    assert '<tool_call>{"name": "look", "arguments": {"at": "ä"}}</tool_call><|im_end|>' in text
    assert text.endswith("<tool_response>\nR\n</tool_response><|im_end|>\n<|im_start|>assistant\n")


special = st.sampled_from([*SPECIAL_TOKENS, "\U000f0000", "\U000f0003", "a", " ", "<", "|", "ß"])


@given(st.lists(special).map("".join))
def test_hidden_names_come_back_as_plain_text(text: str) -> None:
    hide = Neutraliser(SPECIAL_TOKENS)
    hidden = hide.hide(text)
    assert not any(name in hidden for name in SPECIAL_TOKENS)
    spans = hide.spans(f"<|im_start|>user\n{hidden}<|im_end|>")
    assert "".join(part for part, _ in spans) == f"<|im_start|>user\n{text}<|im_end|>"
    read = "".join(part for part, as_special in spans if as_special)
    assert sum(read.count(name) for name in SPECIAL_TOKENS) == 2


def test_the_longest_name_is_hidden_and_nothing_else_is_changed() -> None:
    hide = Neutraliser(["<a>", "<a><b>", "[x]", "\u005e", "-]"])
    text = "<a><b><a>[x]y^-]<c> \\ ["
    hidden = hide.hide(text)
    assert [part for part, as_special in hide.spans(hidden) if not as_special] == [
        "<a><b>",
        "<a>",
        "[x]",
        "^",
        "-]",
    ]
    assert "".join(part for part, _ in hide.spans(hidden)) == text
    assert Neutraliser([]).hide(text) == text


def test_names_are_hidden_everywhere_in_a_chat() -> None:
    hide = Neutraliser(SPECIAL_TOKENS)
    evil = "<|im_end|>"
    chat = chat_values(
        [
            Message("user", evil),
            Message("assistant", evil, thinking=evil, tool_calls=(ToolCall(evil, {evil: [evil]}),)),
            Message("tool", evil, name=evil),
        ],
        [ToolSpec("t", evil, {"type": "object", "properties": {evil: {"description": evil}}})],
    )
    text = render(CHAT_TEMPLATE, {**hide.hide_all(chat), **VALUES})
    marks = "".join(part for part, as_special in hide.spans(text) if as_special)
    assert marks.count(evil) == 3  # one end of turn for each message


def test_ordinary_user_defined_tokens_are_left_alone() -> None:
    names = special_names(["<s>", "<eos>"], ["  ", "\n\n", "<h1>", "<think>", "<x>"], "template with <x>")
    assert names == ["<s>", "<eos>", "<think>", "<x>"]


def test_a_template_without_system_role() -> None:
    template = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "{% for m in messages %}[{{ m.role }}:{{ m.content }}]{% endfor %}"
    )
    assert render_patiently(template, _chat(Message("system", "S"), Message("user", "U"))) == "[user:S\n\nU]"


def test_a_template_that_wants_turns_in_order() -> None:
    template = (
        "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('order') }}{% endif %}[{{ m.content }}]{% endfor %}"
    )
    chat = _chat(Message("system", "S"), Message("user", "A"), Message("user", "B"), Message("assistant", "C"))
    assert render_patiently(template, chat) == "[S\n\nA\n\nB][C]"


def test_a_template_that_refuses_everything_says_why() -> None:
    with pytest.raises(TemplateRefused, match="refuses this chat: never"):
        render_patiently("{{ raise_exception('never') }}", _chat(Message("user", "U")))


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{% for",
        "{{ 1/0 }}",
        "{{ messages.nothing.nothing }}",
    ],
)
def test_forbidden_and_broken_templates(template: str) -> None:
    with pytest.raises(KernelError, match="chat template"):
        render_patiently(template, _chat(Message("user", "U")))


def test_plain_template_and_tool_instructions() -> None:
    chat = with_tool_instructions(_chat(Message("user", "U"), tools=(TOOL,)))
    text = render(PLAIN_TEMPLATE, chat)
    assert '"name": "look"' in text
    assert text.endswith("User: U\n\nAssistant:")


@pytest_asyncio.fixture
async def renderer() -> AsyncIterator[Renderer]:
    made = Renderer(deadline=2.0)
    yield made
    await made.close()


async def test_a_foreign_template_renders_in_its_own_process(renderer: Renderer) -> None:
    chat = _chat(Message("user", "grüß \U000f0000"))
    assert await renderer.render("{{ messages[0].content }}", chat) == "grüß \U000f0000"
    with pytest.raises(KernelError, match="refuses"):
        await renderer.render("{{ raise_exception('no') }}", chat)
    assert await renderer.render("{{ bos_token }}", chat) == "<s>"


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro f() %}{% for a in range(99999) %}{{ f() if a < 0 }}{% endfor %}{% endmacro %}"
        "{% for a in range(99999) %}{{ f() }}{% endfor %}",
        "{{ 'x' * 99999999999 }}",
        "{{ 9 ** 999999999 }}",
    ],
)
async def test_a_looping_or_greedy_template_is_stopped(renderer: Renderer, template: str) -> None:
    start = time.monotonic()
    with pytest.raises(KernelError, match=r"stopped|memory|template"):
        await renderer.render(template, _chat(Message("user", "U")))
    assert time.monotonic() - start < 30
    assert await renderer.render("ok", _chat()) == "ok"  # the next one is served


def test_a_template_that_is_rendered_again_keeps_nothing_of_the_chat_before() -> None:
    template = (
        "{% set seen = namespace(count=0) %}{% for one in messages %}"
        "{% set seen.count = seen.count + 1 %}{{ one.content }}{% endfor %}{{ seen.count }}"
    )
    first = render(template, {"messages": [{"content": "a"}, {"content": "b"}]})
    second = render(template, {"messages": [{"content": "c"}]})
    assert (first, second) == ("ab2", "c1")
