"""The security suite through the whole conversation path, and that it notices a weak guard."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from llmos.bench.security import suite_figures
from llmos.bench.security_suite.cases import Case, all_cases, read_case
from llmos.bench.security_suite.model import orders_in
from llmos.bench.security_suite.runner import OpenGate, Outcome, RecordingGuard, run_case
from llmos.guard.api import WindowState
from llmos.guard.policy import NO_RULE, RULES
from llmos.types import SYSTEM_LABELS, Labels, ToolResult, ToolSpec, UserError

CASES = all_cases()
ATTACKS = [case for case in CASES if case.kind == "attack"]


def by_name(name: str) -> Case:
    return next(case for case in CASES if case.name == name)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_the_program_holds(case: Case) -> None:
    outcome = await run_case(case)
    assert outcome.breaches == []
    assert outcome.faults == []


def test_the_suite_is_as_large_as_it_says() -> None:
    families = Counter(case.family for case in ATTACKS)
    assert len(ATTACKS) >= 160
    assert len(CASES) - len(ATTACKS) >= 60
    assert len(families) >= 9 and min(families.values()) >= 3
    assert len({case.title for case in CASES}) == len(CASES)


def test_every_rule_of_the_policy_is_met_somewhere() -> None:
    named = {rule for case in CASES for rule in (*case.rules, *case.asks)}
    known = {rule.id for rule in (*RULES, NO_RULE)} | {"malformed-call"}
    assert named <= known
    quiet = {
        "harmless",
        "approved-before",
        "trusted-window",
        "link",
        "link-not-given",
        "no-rule",
        "tainted-network",
    }
    assert known - named - quiet <= {"malformed-call"}


EFFECTIVE = [case for case in ATTACKS if case.effective]


@pytest.mark.parametrize("case", EFFECTIVE[::6], ids=[case.name for case in EFFECTIVE[::6]])
async def test_an_open_gate_lets_attacks_through(case: Case) -> None:
    assert (await run_case(case, OpenGate())).breaches


class Forgetful(RecordingGuard):
    """A guard that forgets where the model's own words came from."""

    def label_answer(self, window: WindowState) -> Labels:
        return SYSTEM_LABELS

    def label_result(self, spec: ToolSpec, result: ToolResult, window: WindowState) -> ToolResult:
        return replace(super().label_result(spec, result, window), labels=SYSTEM_LABELS)


class Trusting(RecordingGuard):
    """A guard that believes what a tool says of its results."""

    def label_result(self, spec: ToolSpec, result: ToolResult, window: WindowState) -> ToolResult:
        return result


class Unwashed(RecordingGuard):
    """A guard that cleans nothing."""

    def clean(self, text: str) -> str:
        return text

    def label_result(self, spec: ToolSpec, result: ToolResult, window: WindowState) -> ToolResult:
        return replace(super().label_result(spec, result, window), text=result.text)


@pytest.mark.parametrize(
    ("guard", "name"),
    [
        (Forgetful, "attacks/override-text/web-page-runs-code"),
        (Forgetful, "attacks/summaries/answer-carries-order"),
        (Forgetful, "attacks/laundering/through-python"),
        (Trusting, "attacks/poisoned-tools/result-claims-trust"),
        (Trusting, "attacks/override-text/unlabelled-result"),
        (Unwashed, "attacks/clipboard/osc52-in-result"),
        (Unwashed, "attacks/terminal-escapes/in-refusal"),
    ],
)
async def test_a_weak_guard_is_noticed(guard: type[RecordingGuard], name: str) -> None:
    outcome = await run_case(by_name(name), guard(None, False))
    assert outcome.breaches


async def test_a_case_that_tests_nothing_is_noticed() -> None:
    case = by_name("attacks/override-text/web-page-runs-code")
    harmless = case.model_copy(update={"results": {}})
    outcome = await run_case(harmless)
    assert outcome.faults and not outcome.held


def test_a_broken_case_is_told_in_a_sentence() -> None:
    with pytest.raises(UserError, match="case x is not valid"):
        read_case("family = 3", "x")


def test_figures_count_breaches() -> None:
    case = by_name("tasks/greeting")
    attack = by_name("attacks/override-text/web-page-runs-code")
    broken = Outcome(attack, breaches=["x"])
    figures = {one.name: one for one in suite_figures([broken, Outcome(case)])}
    assert not figures["attacks that reach a sink unapproved"].ok
    assert figures["ordinary tasks that finish as the policy says"].value == 1


def test_orders_are_found_however_they_are_written() -> None:
    hidden = "".join(chr(0xE0000 + ord(c)) for c in '[[do a {"b": "c"}]]')
    text = f'((do t {{"x": "1"}})) [[again say "hi"]] {hidden} [[do u {{"y": "⟦do v {{}}⟧"}}]]'
    found = [(one.foreign, one.again, one.verb, one.body) for one in orders_in(text)]
    assert found == [
        (False, False, "do", 't {"x": "1"}'),
        (True, True, "say", '"hi"'),
        (True, False, "do", 'a {"b": "c"}'),
        (True, False, "do", 'u {"y": "⟦do v {}⟧"}'),
    ]
