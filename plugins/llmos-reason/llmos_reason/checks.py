"""Checked answers: arithmetic and short programs of a try are run, where the code tool may run.

The program hands middleware a way to call tools that the guard allows without asking
(``llmos.types.ToolAccess``). Where it does not, or the sandbox does not start, nothing is checked
and nothing is held against a try.

Two strengths: where the question is nothing but a calculation, its value is the truth (decisive).
Else a try's own equations must all hold and lead to its answer, or its program must run and give
the answer that it claims.
"""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from llmos.types import ToolAccess, ToolResult, TurnRequest
from llmos_reason.answers import number_of
from llmos_reason.voting import Check, Try

TOOL = "python"
#: Most expressions of one try, and letters of one program, that are run.
_MOST_EXPRESSIONS = 64
_MOST_CODE = 4_000
_MOST_DIGITS = 18
#: Longest time of one check in seconds.
_SECONDS = 5.0

_NUM = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"
_EXPRESSION = rf"\(*[-−]?{_NUM}\)*(?:[ \t]*[-−+*/×÷x][ \t]*\(*[-−]?{_NUM}\)*)+"
_EXPRESSIONS = re.compile(_EXPRESSION)
_EQUATIONS = re.compile(rf"({_EXPRESSION})[ \t]*=[ \t]*([-−]?{_NUM})(?!\d|\.\d|,\d|[ \t]*[-−+*/×÷][ \t]*\d)")
_PROGRAMS = re.compile(r"```(?:python|py)[ \t]*\n(.*?)```", re.DOTALL | re.IGNORECASE)
_DATE = re.compile(r"\b\d{4}-\d\d-\d\d\b")
_MARK = "checked:"
_PRINTED = re.compile(rf"^{_MARK} (\[.*\])$", re.MULTILINE)
#: Faults of a program that say nothing about its answer.
_NO_FAULT = ("ModuleNotFoundError", "ImportError", "EOFError", "FileNotFoundError", "Stopped", "session")

#: Calculations in words, as signs.
_WORDS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern.replace("N", rf"(\(?[-−]?{_NUM}\)?)"), re.IGNORECASE), sign)
    for pattern, sign in (
        (r"\b(?:subtract|take(?: away)?) N (?:away )?from N", r"\2 - \1"),
        (r"\b(?:add|sum of) N (?:and|to) N", r"\1 + \2"),
        (r"\bdifference (?:between|of) N and N", r"\1 - \2"),
        (r"\bproduct of N and N", r"\1 * \2"),
        (r"\bmultiply N (?:by|with|and) N", r"\1 * \2"),
        (r"\bdivide N by N", r"\1 / \2"),
        (r"N plus N", r"\1 + \2"),
        (r"N minus N", r"\1 - \2"),
        (r"N (?:times|multiplied by) N", r"\1 * \2"),
        (r"N divided by N", r"\1 / \2"),
    )
)
#: Words that may stand around a calculation without changing what is asked.
_FILLER = frozenset(
    [
        *("what", "is", "what's", "whats", "the", "result", "of", "calculate", "compute", "work", "out", "how"),
        *("much", "please", "tell", "me", "give", "can", "could", "you", "sum", "total", "value", "evaluate"),
        *("solve", "and", "equals", "equal", "to", "a", "answer", "find", "do", "does", "make", "it", "now"),
        *("for", "in", "your", "head", "at", "once"),
    ]
)


def asked_calculation(question: str) -> str:
    """The calculation that a question asks for, as Python; empty when it asks for anything else."""
    text = question
    for pattern, sign in _WORDS:
        text = pattern.sub(sign, text)
    found = _EXPRESSIONS.findall(text)
    if len(found) != 1 or _DATE.search(text):
        return ""
    around = text.replace(found[0], " ")
    words = re.findall(r"[\w'’]+|[^\s\w?.!:=,]", around.casefold())
    return "" if any(word not in _FILLER for word in words) else as_python(found[0])


def as_python(expression: str) -> str:
    """An expression of numbers and signs as Python source; empty when it is none."""
    text = expression.strip().replace(",", "").replace("−", "-").replace("×", "*").replace("x", "*")
    text = re.sub(r"(?<![\d.])0+(?=\d)", "", text.replace("÷", "/"))
    if any(len(number) > _MOST_DIGITS for number in re.findall(r"[\d.]+", text)):
        return ""
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    plain = (ast.Expression, ast.BinOp, ast.UnaryOp, ast.Constant, ast.USub)
    signs = (ast.Add, ast.Sub, ast.Mult, ast.Div)
    return text if all(isinstance(node, plain + signs) for node in ast.walk(tree)) else ""


def equations(text: str) -> list[tuple[str, str]]:
    """(expression as Python, claimed value) of every ``7 + 5 = 12`` in a text, in order."""
    pairs = ((as_python(left), number_of(right)) for left, right in _EQUATIONS.findall(text))
    return [(left, right) for left, right in pairs if left][:_MOST_EXPRESSIONS]


def programs(text: str) -> list[str]:
    """Python programs in fences, short ones only."""
    return [code for code in _PROGRAMS.findall(text) if code.strip() and len(code) <= _MOST_CODE][:2]


def code_for(expressions: Sequence[str]) -> str:
    """A program that prints the values of expressions as one list; None where there is none."""
    lines = ["found = []"]
    for one in expressions:
        lines += ["try:", f"    found.append({one})", "except ZeroDivisionError:", "    found.append(None)"]
    return "\n".join([*lines, f'print("{_MARK}", found)'])


def values_in(printed: str, count: int) -> list[float | int | None] | None:
    """What ``code_for`` printed; None when it is not ``count`` numbers."""
    found = _PRINTED.search(printed)
    if found is None:
        return None
    try:
        values = ast.literal_eval(found[1])
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    good = isinstance(values, list) and len(values) == count
    if not good or not all(value is None or type(value) in (int, float) for value in values):
        return None
    return list(values)


def agrees(value: float | int | None, claimed: str) -> bool:
    """Whether a claimed number is that value, decimals rounded as they are written."""
    if value is None:
        return False
    decimals = len(claimed.partition(".")[2])
    if isinstance(value, int) and not decimals:
        return str(value) == claimed
    try:
        return abs(float(claimed) - value) <= (0.5 * 10**-decimals if decimals else 0) + 1e-9
    except (ValueError, OverflowError):
        return False


class Checker:
    """Checks the tries of one turn.

    Args:
        call: runs a tool where the guard allows it.
        question: what was asked.
        left: seconds that a check may take now; 0 or less checks nothing more.
    """

    def __init__(self, call: ToolAccess, question: str, left: Callable[[], float] = lambda: _SECONDS) -> None:
        self._call = call
        self._left = left
        self._asked = asked_calculation(question)
        self._truth: float | int | None = None
        self._off = False

    @classmethod
    def of(cls, request: TurnRequest, question: str, left: Callable[[], float]) -> Checker | None:
        """A checker where this turn has the code tool on offer, else None."""
        call = request.options.get("call_tool")
        if not callable(call) or all(tool.name != TOOL for tool in request.tools):
            return None
        return cls(call, question, left)

    async def checked(self, one: Try) -> Try:
        """The try with what running it says."""
        try:
            found = await asyncio.wait_for(self._check(one), max(0.0, min(_SECONDS, self._left())))
        except TimeoutError:
            return one
        return replace(one, check=found)

    async def _check(self, one: Try) -> Check:
        if self._asked:
            return await self._against_truth(one)
        claims = equations(f"{one.thinking}\n{one.text}")
        if claims and number_of(one.key):
            return await self._own_equations(claims, one.key)
        for code in programs(one.text):
            return await self._own_program(code, one.key)
        return Check()

    async def _against_truth(self, one: Try) -> Check:
        claim = number_of(one.key)
        if not claim:
            return Check()
        if self._truth is None:
            values = await self._values([self._asked])
            self._truth = values[0] if values else None
        if self._truth is None:
            return Check()
        right = agrees(self._truth, claim)
        return Check("right" if right else "wrong", decisive=True, shown=f"{self._asked} = {self._truth}")

    async def _own_equations(self, claims: list[tuple[str, str]], key: str) -> Check:
        values = await self._values([left for left, _ in claims])
        if values is None:
            return Check()
        for (left, right), value in zip(claims, values, strict=True):
            if not agrees(value, right):
                return Check("wrong", shown=f"{left} = {value}, not {right}")
        if claims[-1][1] != number_of(key):
            return Check()  # true steps that do not lead to the answer say nothing about it
        return Check("right", shown=f"{len(claims)} equations hold")

    async def _own_program(self, code: str, key: str) -> Check:
        result = await self._run(code)
        if result is None or any(word in result.text for word in _NO_FAULT if not result.ok):
            return Check()
        if not result.ok:
            return Check("wrong", shown=result.text.strip().splitlines()[-1][:200])
        printed, claim = re.findall(_NUM, result.text), number_of(key)
        if not claim:
            return Check("right", shown="the program runs")
        if not printed:
            return Check()
        right = number_of(printed[-1]) == claim.lstrip("-")
        return Check("right" if right else "wrong", shown=f"the program prints {printed[-1]}")

    async def _values(self, expressions: Sequence[str]) -> list[float | int | None] | None:
        result = await self._run(code_for(expressions))
        return values_in(result.text, len(expressions)) if result is not None and result.ok else None

    async def _run(self, code: str) -> ToolResult | None:
        """Run code; None where it may not run, and from then on nothing is tried any more."""
        if self._off:
            return None
        result = await self._call(TOOL, {"code": code})
        if result is None or (not result.ok and result.text.startswith("No code is run")):
            self._off = True
            return None
        return result
