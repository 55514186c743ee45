"""Labels along every path of a conversation: what a text carries on is seen by marks in it.

The model of these tests copies every mark that it reads into whatever it writes: answers, calls,
memories. So wherever a mark turns up, the labels there must be at least those of the page that
the mark came from, after any sequence of turns, evictions, recalls, branches, forks and restarts.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.bench.security_suite.cases import Case, CaseTurn
from llmos.bench.security_suite.model import CompromisedModel
from llmos.bench.security_suite.runner import RecordingGuard
from llmos.bench.security_suite.sinks import RecordedSinks
from llmos.conversation.session import Session, open_session
from llmos.guard.api import WindowState
from llmos.settings import ChatSettings, Folders, Settings
from llmos.types import (
    SYSTEM_LABELS,
    ApprovalNeeded,
    Confidentiality,
    Integrity,
    Labels,
    Page,
    UserError,
)

_MARK = re.compile(r"mark-[a-z0-9]+")

PAGE_LABELS = st.builds(
    Labels,
    st.sampled_from([frozenset({"file:/a"}), frozenset({"url:https://x.example/"}), frozenset({"tool:t"})]),
    st.sampled_from(Integrity),
    st.sampled_from(Confidentiality),
)

STEP = st.one_of(
    st.tuples(st.just("send"), st.lists(PAGE_LABELS, max_size=2)),
    st.tuples(st.just("attach"), st.lists(PAGE_LABELS, min_size=1, max_size=2)),
    st.tuples(st.just("result"), PAGE_LABELS),
    st.tuples(st.just("remember"), st.none()),
    st.tuples(st.just("recall"), st.none()),
    st.tuples(st.just("regenerate"), st.none()),
    st.tuples(st.just("rewrite"), st.none()),
    st.tuples(st.just("fork"), st.none()),
    st.tuples(st.just("reopen"), st.none()),
    st.tuples(st.just("new chat"), st.none()),
    st.tuples(st.just("summarise"), st.none()),
    st.tuples(st.just("evict"), st.none()),
)


class Copying(CompromisedModel):
    """A model that copies every mark of its prompt into what it writes."""

    def __init__(self, context: int) -> None:
        super().__init__(context)
        self.call = ""

    def _answer(self, prompt: str) -> str:
        marks = " ".join(sorted(set(_MARK.findall(prompt)))) or "nothing"
        call, self.call = self.call, ""
        if call:
            argument = {"calculate": "expression", "remember": "text", "recall": "query"}[call]
            return f'<tool_call>{{"name": "{call}", "arguments": {{"{argument}": "{marks}"}}}}</tool_call>'
        return f"I have read {marks}."


class EchoingSinks(RecordedSinks):
    """Tools that give back what they were called with, beside a labelled page."""

    def __init__(self) -> None:
        super().__init__(Case(family="x", title="x", turns=(CaseTurn(user="x"),)))
        self.next_pages: list[Page] = []
        self.next_result: Page | None = None

    async def context(self, turn: Any) -> list[Page]:
        pages, self.next_pages = self.next_pages, []
        return [*pages, *await super().context(turn)]

    async def call_tool(self, call: Any, context: Any) -> Any:
        result = await super().call_tool(call, context)
        if call.name == "calculate":
            page, self.next_result = self.next_result, None
            result = replace(result, text=f"from {call.arguments['expression']}", labels=SYSTEM_LABELS)
            if page is not None:
                result = replace(result, text=f"{result.text} {page.text}", labels=page.labels)
        return result


class Flow:
    """A session, the labels of every mark, and the check."""

    def __init__(self, session: Session, model: Copying, sinks: EchoingSinks, seed: int) -> None:
        self.session, self.model, self.sinks = session, model, sinks
        self.marks: dict[str, Labels] = {}
        self.chats: list[str] = []
        self.random = random.Random(seed)
        self.chat = session.conversation().chat_id

    def page(self, labels: Labels) -> Page:
        mark = f"mark-{len(self.marks):04d}{self.random.randrange(16**6):06x}"
        self.marks[mark] = labels
        return Page(
            f"Some text with {mark} in it. " + "More of it. " * 12, kind="passage", labels=labels, source="s"
        )

    async def turn(self, stream: Any) -> None:
        talk = self.session.conversation(self.chat)
        try:
            async for event in stream:
                if isinstance(event, ApprovalNeeded):
                    talk.answer_approval(event.approval.id, "once")
        except UserError:
            pass  # a window that is too small for the turn is no matter of labels
        for _ in range(200):
            if not self.session.jobs.list():
                return
            await asyncio.sleep(0.001)

    async def step(self, name: str, value: Any) -> None:
        talk = self.session.conversation(self.chat)
        if self.chat not in self.chats:
            self.chats.append(self.chat)
        self.sinks.turn = CaseTurn(user="x", recall=name == "recall", summarise=name == "summarise")
        messages = await talk.messages()
        if name in ("send", "summarise"):
            self.sinks.next_pages = [self.page(one) for one in value or ()]
            await self.turn(talk.send("Tell me more, please."))
        elif name == "attach":
            await self.turn(talk.send("Read this.", [self.page(one) for one in value]))
        elif name == "result":
            self.model.call, self.sinks.next_result = "calculate", self.page(value)
            await self.turn(talk.send("Calculate."))
        elif name in ("remember", "recall"):
            self.model.call = name
            await self.turn(talk.send("Please."))
        elif name == "regenerate" and messages:
            await self.turn(talk.regenerate())
        elif name == "rewrite" and messages and messages[-1].role == "assistant":
            await talk.rewrite(messages[-1].id, messages[-1].content + " edited")
        elif name == "fork" and messages:
            self.chat = (await talk.fork()).id
            self.chats.append(self.chat)
        elif name == "reopen":
            await self.session.leave(self.chat)
        elif name == "new chat":
            self.chat = self.session.conversation().chat_id
        elif name == "evict" and talk.window.pages:
            await talk.evict_page(self.random.choice(talk.window.pages).id)

    def weaker(self, text: str, labels: Labels) -> list[str]:
        """Marks in a text whose page had stronger labels than the text has."""
        found = []
        for mark in set(_MARK.findall(text)):
            source = self.marks[mark]
            if (source.tainted and not labels.tainted) or (source.private and not labels.private):
                found.append(f"{mark} of {source} in a text with {labels}: {text[:80]!r}")
        return found

    async def check(self) -> None:
        problems: list[str] = []
        for chat in self.chats:
            for message in await self.session.store.run(self.session.store.branch, chat):
                problems += self.weaker(message.content, message.labels)
                for page in message.pages:
                    problems += self.weaker(page.text, page.labels)
        for talk in self.session.conversations:
            labels = talk.labels()
            for page in talk.window.pages:
                problems += self.weaker(page.text, page.labels)
                problems += self.weaker(page.text, labels)
            for page in talk.swapped():
                problems += self.weaker(page.text, page.labels)
        for text, labels in (*self.sinks.memories, *self.sinks.summaries):
            problems += self.weaker(text, labels)
        assert problems == []


class Forgetful(RecordingGuard):
    """Forgets where the model's own words came from."""

    def label_answer(self, window: WindowState) -> Labels:
        return SYSTEM_LABELS


async def _run(
    steps: list[tuple[str, Any]], seed: int, context: int, guard: type[RecordingGuard] = RecordingGuard
) -> int:
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as name:
        root = Path(name)
        where = Folders(root / "config", root / "data", root / "cache", root / "log").make()
        model, sinks = Copying(context), EchoingSinks()
        given_settings = Settings(chat=ChatSettings(titles="off", swap_megabytes=0))
        async with open_session(
            given_settings, face="test", where=where, kernel=model, guard=guard(None, False), plugins=sinks
        ) as session:
            session.face_can_ask = True
            sinks.session = session
            flow = Flow(session, model, sinks, seed)
            for step, value in steps:
                await flow.step(step, value)
                await flow.check()
            return len(flow.marks)


@given(st.lists(STEP, min_size=2, max_size=9), st.integers(0, 1_000), st.sampled_from([1_100, 1_600, 12_000]))
@settings(max_examples=40)
def test_labels_never_get_weaker(steps: list[tuple[str, Any]], seed: int, context: int) -> None:
    asyncio.run(_run(steps, seed, context))


def test_a_long_run_of_everything() -> None:
    web = Labels(frozenset({"url:https://x.example/"}), Integrity.UNTRUSTED, Confidentiality.PUBLIC)
    file = Labels(frozenset({"file:/a"}), Integrity.TRUSTED, Confidentiality.PRIVATE)
    steps: list[tuple[str, Any]] = [
        ("send", [web]), ("result", file), ("remember", None), ("send", [file]), ("send", [web, file]),
        ("recall", None), ("regenerate", None), ("rewrite", None), ("send", []), ("fork", None), ("summarise", None),
        ("new chat", None), ("send", []), ("recall", None), ("reopen", None), ("attach", [web]), ("evict", None),
        ("send", []), ("remember", None), ("fork", None), ("send", []),
    ]  # fmt: skip
    assert asyncio.run(_run(steps, 1, 1_600)) > 5


def test_a_guard_that_forgets_is_noticed() -> None:
    web = Labels(frozenset({"url:https://x.example/"}), Integrity.UNTRUSTED, Confidentiality.PUBLIC)
    with pytest.raises(AssertionError, match="mark-"):
        asyncio.run(_run([("send", [web]), ("send", [])], 1, 12_000, Forgetful))
