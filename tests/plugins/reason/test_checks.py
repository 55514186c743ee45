"""Arithmetic and short programs of a try are run, through the guard, and decide the vote."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmos_reason.checks import (
    Checker,
    agrees,
    as_python,
    asked_calculation,
    code_for,
    equations,
    programs,
    values_in,
)
from llmos_reason.voting import Check, Tally, Try

from llmos.conversation.session import Session, open_session
from llmos.settings import Settings, folders
from llmos.types import (
    ApprovalNeeded,
    Confidentiality,
    Event,
    Integrity,
    Labels,
    Page,
    PluginEvent,
    TextDelta,
    ToolResult,
)
from tests.helpers.fake_kernel import FakeKernel


@pytest.mark.parametrize(
    ("question", "expression"),
    [
        ("What is 347 + 585?", "347 + 585"),
        ("347+585 = ?", "347+585"),
        ("Subtract 12 from 1,040.", "1040 - 12"),
        ("Take 5 away from 9.", "9 - 5"),
        ("Add 3 and 4.", "3 + 4"),
        ("How much is 12 times 3?", "12 * 3"),
        ("what's 7 × 8", "7 * 8"),
        ("Calculate (2 + 3) * 4.5", "(2 + 3) * 4.5"),
        ("What is the difference between 9 and 4?", "9 - 4"),
        # Something else is asked, so the value would be no truth.
        ("What is 2 + 5 in binary?", ""),
        ("I have 2 + 5 apples and eat 3. How many are left?", ""),
        ("I have 5 and get 3 more. How many is that?", ""),
        ("What happened on 2024-05-01?", ""),
        ("Is 7 + 5 = 12 true?", ""),
        ("Hello.", ""),
    ],
)
def test_only_a_question_that_is_nothing_but_a_calculation_has_a_truth(question: str, expression: str) -> None:
    assert asked_calculation(question) == expression


@pytest.mark.parametrize(
    "text", ["1 + ", "a + b", "1 ** 9", "__import__('os')", "9" * 30 + " + 1", "1 +* 2", ""]
)
def test_what_is_no_plain_calculation_is_never_run(text: str) -> None:
    assert as_python(text) == ""


def test_equations_and_programs_are_found() -> None:
    text = "ones: 7 + 5 = 12, write 2 carry 1\ntens: 14 - 4 - 1 = 9, write 9\nso 007 + 1 = 8. And 2 + 2 = 3 + 1"
    assert equations(text) == [("7 + 5", "12"), ("14 - 4 - 1", "9"), ("7 + 1", "8")]
    assert programs("```python\nprint(1)\n```\n```js\nx\n```\n```py\n\n```") == ["print(1)\n"]


@pytest.mark.parametrize(
    ("value", "claimed", "right"),
    [
        (12, "12", True),
        (12, "13", False),
        (10 / 3, "3", False),
        (10 / 3, "3.33", True),
        (10 / 3, "3.34", False),
        (4.0, "4", True),
        (None, "1", False),
        (10**17, "100000000000000001", False),
    ],
)
def test_a_claimed_number_agrees_to_the_last_written_decimal(
    value: float | None, claimed: str, right: bool
) -> None:
    assert agrees(value, claimed) is right


@given(st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from("+-*/"), st.integers(0, 10**3)), max_size=8))
def test_what_is_printed_is_read_back(parts: list[tuple[int, str, int]]) -> None:
    expressions = [f"{a} {sign} {b}" for a, sign, b in parts]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code_for(expressions), {})
    values = values_in("noise\n" + printed.getvalue(), len(parts))
    assert values == [None if sign == "/" and not b else eval(one) for one, (_, sign, b) in zip(
        expressions, parts, strict=True)]  # fmt: skip


@given(st.text(), st.integers(0, 3))
def test_any_output_is_read_or_refused(printed: str, count: int) -> None:
    values = values_in(f"checked: [{printed}]", count)
    assert values is None or len(values) == count
    equations(printed), programs(printed), asked_calculation(printed)


class Tool:
    """Runs code here; counts calls."""

    def __init__(self, *, refuse: bool = False, hang: bool = False) -> None:
        self.refuse, self.hang = refuse, hang
        self.calls: list[str] = []

    async def __call__(self, name: str, arguments: Mapping[str, Any]) -> ToolResult | None:
        assert name == "python"
        self.calls.append(str(arguments["code"]))
        if self.refuse:
            return None
        if self.hang:
            await asyncio.sleep(60)
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                exec(self.calls[-1], {})
        except Exception as error:
            return ToolResult(f"{type(error).__name__}: {error}", ok=False)
        return ToolResult(printed.getvalue())


def attempt(key: str, text: str = "", thinking: str = "", logprob: float = -1.0) -> Try:
    return Try(text or f"It is {key}.", thinking, key, 10, logprob)


async def test_the_question_itself_is_run_once_and_decides() -> None:
    tool = Tool()
    checker = Checker(tool, "What is 347 + 585?")
    wrong, right = await checker.checked(attempt("922")), await checker.checked(attempt("932"))
    assert (wrong.check.verdict, right.check.verdict) == ("wrong", "right")
    assert right.check.decisive and right.check.shown == "347 + 585 = 932"
    assert len(tool.calls) == 1
    tally = Tally()
    tally.add(wrong)
    assert not tally.decided
    tally.add(right)
    assert tally.decided and tally.confidence == 1.0
    assert tally.winner() == (right, "vote, checked by running")


@pytest.mark.parametrize(
    ("thinking", "key", "verdict"),
    [
        ("12 + 5 = 17\n17 - 3 = 14", "14", "right"),
        ("12 + 5 = 18\n18 - 3 = 15", "15", "wrong"),
        ("12 + 5 = 17", "14", ""),
        ("I just know.", "14", ""),
    ],
)
async def test_steps_must_hold_and_lead_to_the_answer(thinking: str, key: str, verdict: str) -> None:
    one = await Checker(Tool(), "Tom has 12 and gets 5, then loses 3. How many?").checked(
        attempt(key, thinking=thinking)
    )
    assert one.check.verdict == verdict and not one.check.decisive


@pytest.mark.parametrize(
    ("code", "key", "verdict"),
    [
        ("print(sum(range(5)))", "10", "right"),
        ("print(sum(range(5)))", "11", "wrong"),
        ("def f(x):\n    return x\nassert f(2) == 2", "", "right"),
        ("print(undefined)", "10", "wrong"),
        ("import nothing_of_this_name", "10", ""),
        ("x = 1", "10", ""),
    ],
)
async def test_programs_are_run(code: str, key: str, verdict: str) -> None:
    one = await Checker(Tool(), "Write it.").checked(attempt(key, f"```python\n{code}\n```"))
    assert one.check.verdict == verdict


async def test_where_it_may_not_run_nothing_is_checked_and_nothing_held_against_a_try() -> None:
    tool = Tool(refuse=True)
    checker = Checker(tool, "What is 2 + 2?")
    tries = [await checker.checked(attempt(key)) for key in ("5", "5", "4")]
    assert [one.check for one in tries] == [Check()] * 3
    assert len(tool.calls) == 1  # once refused, it is not tried again
    tally = Tally()
    for one in tries:
        tally.add(one)
    winner = tally.winner()
    assert winner is not None and (winner[0].key, winner[1]) == ("5", "vote")


async def test_a_check_ends_with_the_time() -> None:
    checker = Checker(Tool(hang=True), "What is 2 + 2?", lambda: 0.05)
    one = await asyncio.wait_for(checker.checked(attempt("4")), 5)
    assert one.check == Check()


def test_checked_votes_win_and_the_tally_says_so() -> None:
    tally = Tally()
    for key, verdict in (("15", "wrong"), ("15", "wrong"), ("14", "right"), ("16", "")):
        one = attempt(key)
        tally.add(Try(one.text, "", key, 10, -1.0, Check(verdict)))  # type: ignore[arg-type]
    assert tally.votes == [("14", 1)]
    assert tally.all_votes == [("14", 1, "right"), ("15", 2, "wrong"), ("16", 1, "")]
    assert (tally.winner() or (None, ""))[1] == "vote, checked by running"
    refuted = Tally()
    for key in ("15", "15", "16"):
        refuted.add(Try("", "", key, 10, -1.0, Check("wrong")))
    winner = refuted.winner()
    assert winner is not None and (winner[0].key, winner[1]) == ("15", "vote, none passed its check")
    for _ in range(9):
        refuted.add(Try("", "", "15", 10, -1.0, Check("wrong")))
    assert not refuted.decided  # another try may still be right


# -- in the program: the real guard, the real sandbox --------------------------------------------


@pytest.fixture
async def session() -> AsyncIterator[Session]:
    settings = Settings()
    settings.chat = settings.chat.model_copy(update={"titles": "off"})
    settings.plugins.disabled = ["disk", "web", "ram", "mcp"]
    script = ["<think>7</think>347 + 585 = 922", *["347 + 585 = 922", "347 + 585 = 932"] * 10]
    async with open_session(settings, face="test", where=folders(), kernel=FakeKernel(script)) as opened:
        yield opened


async def talk(session: Session, **options: Any) -> tuple[str, dict[str, Any], list[Event]]:
    pages = options.pop("pages", ())
    chat = session.conversation()
    asked = chat.send("What is 347 + 585?", pages, options={"think": "sure", **options})
    events = [event async for event in asked]
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    reports = [dict(event.data) for event in events if isinstance(event, PluginEvent)]
    return text, reports[-1], events


def has_sandbox() -> bool:
    from llmos_code.tiers import TIERS

    return any(not tier.missing() for tier in TIERS)


@pytest.mark.skipif(not has_sandbox(), reason="this machine has no sandbox at all")
async def test_the_minority_wins_when_running_it_says_so(session: Session) -> None:
    text, report, _ = await talk(session)
    assert text == "347 + 585 = 932"
    assert report["how"] == "vote, checked by running" and "checked by running" in report["text"]
    assert report["votes"][0]["answer"] == "932" and report["votes"][0]["check"] == "right"
    assert {one["check"] for one in report["tries"]} == {"right", "wrong"}


@pytest.mark.parametrize("case", ["setting", "no tools", "other tools", "untrusted text"])
async def test_it_fails_closed(session: Session, case: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {}
    if case == "setting":
        session.settings.plugins.options["reason"] = {"check": False}
    elif case == "no tools":
        options["tool_rounds"] = 0
    elif case == "other tools":
        options["tools"] = []
    else:
        labels = Labels(frozenset({"url:https://a.example"}), Integrity.UNTRUSTED, Confidentiality.PUBLIC)
        options["pages"] = [Page("2 + 2 = 5", "passage", labels, source="https://a.example")]
    text, report, events = await talk(session, **options)
    assert text and report["done"] and "checked" not in report["how"]
    assert {one["check"] for one in report["tries"]} == {""}
    assert not any(isinstance(event, ApprovalNeeded) for event in events)
