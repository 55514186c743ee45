"""Sums: single digits by heart, longer ones step by step, and word problems of two steps."""

from __future__ import annotations

import random

from llmos.foundry.tasks.base import Conversation, Split, assistant, held_out, phrases, user

#: Operands of which both lie in this range never occur in training sums ("new range").
HELD_RANGE = range(400, 500)

_SUM = (
    "What is {a} + {b}?",
    "{a} + {b}",
    "Add {a} and {b}.",
    "Calculate {a} + {b}.",
    "How much is {a} plus {b}?",
    "What is {a} plus {b}?",
    "{a} + {b} = ?",
    "Please add {a} and {b}.",
    "Work out {a} + {b}.",
    "What is the sum of {a} and {b}?",
    "Can you add {a} and {b}?",
    "Sum: {a} + {b}",
    "what's {a} + {b}",
    "I have {a} and get {b} more. How many is that?",
    "Give me {a} + {b}.",
    "Compute {a} + {b}.",
    "Tell me what {a} + {b} is.",
    "{a} and {b} make how much?",
)
_DIFFERENCE = (
    "What is {a} - {b}?",
    "{a} - {b}",
    "Subtract {b} from {a}.",
    "Calculate {a} - {b}.",
    "How much is {a} minus {b}?",
    "What is {a} minus {b}?",
    "{a} - {b} = ?",
    "Take {b} away from {a}.",
    "Work out {a} - {b}.",
    "What is the difference between {a} and {b}?",
    "Can you take {b} from {a}?",
    "what's {a} - {b}",
    "I have {a} and lose {b}. How many are left?",
    "Compute {a} - {b}.",
    "Tell me what {a} - {b} is.",
    "How much is left of {a} after {b}?",
)
_PRODUCT = (
    "What is {a} * {b}?",
    "{a} * {b}",
    "Multiply {a} by {b}.",
    "Calculate {a} * {b}.",
    "How much is {a} times {b}?",
    "What is {a} times {b}?",
    "{a} x {b} = ?",
    "Work out {a} * {b}.",
    "What is the product of {a} and {b}?",
    "Can you multiply {a} by {b}?",
    "what's {a} times {b}",
    "Compute {a} * {b}.",
)
#: Questions by sign, with ``{a}`` and ``{b}``.
WORDINGS = {"+": _SUM, "-": _DIFFERENCE, "*": _PRODUCT}
_PLACES = ("ones", "tens", "hundreds", "thousands", "ten thousands")


def evaluate(a: int, sign: str, b: int) -> int:
    """The true result of one operation."""
    return a + b if sign == "+" else a - b if sign == "-" else a * b


def steps(a: int, sign: str, b: int) -> str:
    """The written way to a result, a line a digit, ending with the result on its own line."""
    return {"+": _sum_steps, "-": _difference_steps, "*": _product_steps}[sign](a, b)


def _digits(number: int, width: int) -> list[int]:
    return [int(d) for d in reversed(str(number).zfill(width))]


def _sum_steps(a: int, b: int) -> str:
    width = max(len(str(a)), len(str(b)))
    # Written to one length first: else the place of a digit is read off wrongly where lengths differ.
    carry, lines, out = 0, [f"{a:0{width}} + {b:0{width}}"], ""
    for place, x, y in zip(_PLACES, _digits(a, width), _digits(b, width), strict=False):
        total = x + y + carry
        extra = f" + {carry}" if carry else ""
        carry, digit = divmod(total, 10)
        out = f"{digit}{out}"
        lines.append(
            f"{place}: {x} + {y}{extra} = {total}, write {digit}" + (f" carry {carry}" if carry else "")
        )
    if carry:
        out = f"{carry}{out}"
        lines.append(f"write {carry}")
    return "\n".join([*lines, f"= {out}"])


def _difference_steps(a: int, b: int) -> str:
    width = len(str(a))
    borrow, lines, out = 0, [f"{a:0{width}} - {b:0{width}}"], ""
    for place, x, y in zip(_PLACES, _digits(a, width), _digits(b, width), strict=False):
        top, taken = x, f"{y}" + (f" - {borrow}" if borrow else "")
        need = y + borrow
        borrow = 1 if top < need else 0
        digit = top + 10 * borrow - need
        out = f"{digit}{out}"
        shown = f"1{x}" if borrow else f"{x}"
        lines.append(f"{place}: {shown} - {taken} = {digit}, write {digit}" + (" borrow 1" if borrow else ""))
    return "\n".join([*lines, f"= {int(out)}"])


def _product_steps(a: int, b: int) -> str:
    carry, lines, out = 0, [], ""
    for place, x in zip(_PLACES, _digits(a, len(str(a))), strict=False):
        total = x * b + carry
        extra = f" + {carry}" if carry else ""
        carry, digit = divmod(total, 10)
        out = f"{digit}{out}"
        lines.append(
            f"{place}: {x} * {b}{extra} = {total}, write {digit}" + (f" carry {carry}" if carry else "")
        )
    if carry:
        out = f"{carry}{out}"
        lines.append(f"write {carry}")
    return "\n".join([*lines, f"= {int(out)}"])


def _allowed(a: int, b: int, split: Split) -> bool:
    in_range = a in HELD_RANGE and b in HELD_RANGE
    if split is Split.RELATIONS:
        return in_range
    return not in_range and held_out(f"{a},{b}") == (split is not Split.TRAIN)


def operands(rng: random.Random, sign: str, split: Split, digits: int | None = None) -> tuple[int, int]:
    """Two numbers for an operation, from the part of the number plane that a split owns.

    Args:
        rng: source of chance.
        sign: ``+``, ``-`` or ``*``; a product has a one-digit second factor.
        split: ``NAMES`` and ``PHRASES`` take held-out pairs, ``RELATIONS`` the held-out range.
        digits: length of the longer operand, 2 or 3; chance decides when absent.
    """
    while True:
        if split is Split.RELATIONS:
            a, b = rng.choice(HELD_RANGE), rng.choice(HELD_RANGE)
            if sign == "*":
                b = rng.randrange(2, 10)
                return a, b
        else:
            length = digits or rng.choice((2, 2, 3, 3, 3))
            a = rng.randrange(10 ** (length - 1), 10**length)
            b = rng.randrange(2, 10**length) if sign != "*" else rng.randrange(2, 10)
            if sign == "+" and rng.random() < 0.5:
                a, b = b, a
        if sign == "-" and b > a:
            a, b = b, a
        if _allowed(a, b, split):
            return a, b


def sign_for(rng: random.Random) -> str:
    """Mostly sums, then differences, then products."""
    return rng.choice("+++++--*")


def sum_by_steps(rng: random.Random, split: Split) -> Conversation:
    """Two- and three-digit arithmetic in ``<think>``, when no tool is on offer."""
    sign = sign_for(rng) if split is not Split.RELATIONS else rng.choice("++-")
    a, b = operands(rng, sign, split)
    asked = rng.choice(phrases(WORDINGS[sign], split)).format(a=a, b=b)
    truth = evaluate(a, sign, b)
    return Conversation(
        [user(asked), assistant(f"{a} {sign} {b} = {truth}", steps(a, sign, b))],
        kind="steps",
        answer=str(truth),
        options={"a": a, "b": b, "sign": sign},
    )


def small_sum(rng: random.Random, split: Split) -> Conversation:
    """Single digits, known by heart and answered at once."""
    sign = rng.choice("++-*")
    a, b = rng.randrange(0, 10), rng.randrange(0, 10)
    if sign == "-" and b > a:
        a, b = b, a
    asked = rng.choice(phrases(WORDINGS[sign], split)).format(a=a, b=b)
    truth = evaluate(a, sign, b)
    return Conversation([user(asked), assistant(f"{a} {sign} {b} = {truth}")], kind="digits", answer=str(truth))


def drill(rng: random.Random, split: Split) -> Conversation:
    """A whole list of single-digit facts in one answer: cheap practice of the tables."""
    lines = []
    for _ in range(rng.randrange(4, 9)):
        sign = rng.choice("+++--*")
        a, b = rng.randrange(0, 10), rng.randrange(0, 10)
        if sign == "-":
            a += 10 * (a < b)
        lines.append((f"{a} {sign} {b}", evaluate(a, sign, b)))
    return Conversation(
        [user("\n".join(q for q, _ in lines)), assistant("\n".join(f"{q} = {r}" for q, r in lines))],
        kind="drill",
        answer="\n".join(str(r) for _, r in lines),
    )


_PEOPLE = (
    "Mira",
    "Tom",
    "Anna",
    "Ben",
    "Lucy",
    "Sam",
    "Nora",
    "Leo",
    "Ivy",
    "Max",
    "Ella",
    "Finn",
    "Rosa",
    "Hugo",
)
_NEW_PEOPLE = ("Petra", "Oscar", "Wanda", "Felix")
_THINGS = (
    "apples",
    "coins",
    "books",
    "stamps",
    "marbles",
    "cards",
    "eggs",
    "pens",
    "shells",
    "cups",
    "stones",
    "nuts",
)
_NEW_THINGS = ("tickets", "buttons", "lemons", "keys")
_MORE = (
    "gets {n} more",
    "buys {n} more",
    "finds {n} more",
    "is given {n} more",
    "picks {n} more",
    "wins {n} more",
)
_LESS = ("gives {n} away", "loses {n}", "sells {n}", "breaks {n}", "uses {n}", "throws {n} away")
_END = (
    "How many {t} are there now?",
    "How many {t} are left?",
    "How many {t} does {p} have now?",
    "How many {t} is that?",
    "How many {t} does {p} have in the end?",
    "What is the number of {t} now?",
)
_JOIN = (
    "{p} has {a} {t}. {p} {x} and then {y}. {e}",
    "{p} has {a} {t}. First {p} {x}. Then {p} {y}. {e}",
    "{p} starts with {a} {t}, {x} and later {y}. {e}",
    "There are {a} {t} in {p}'s bag. {p} {x}, then {y}. {e}",
    "In the morning {p} has {a} {t}. At noon {p} {x}. In the evening {p} {y}. {e}",
    "{p} owns {a} {t}. On Monday {p} {x}. On Tuesday {p} {y}. {e}",
)


def word_problem(rng: random.Random, split: Split) -> Conversation:
    """Two steps with numbers up to about 60, each worked out digit by digit as sums are."""
    fresh = split is not Split.TRAIN
    who, what = rng.choice(_NEW_PEOPLE if fresh else _PEOPLE), rng.choice(_NEW_THINGS if fresh else _THINGS)
    while True:
        total = start = rng.randrange(5, 40)
        lines, actions, thoughts = [], [], []
        for _ in range(2):
            if rng.random() < 0.5 or total < 4:
                n = rng.randrange(2, 20)
                actions.append(rng.choice(phrases(_MORE, split)).format(n=n))
                lines.append(f"{total} + {n} = {total + n}")
                thoughts.append(steps(total, "+", n))
                total += n
            else:
                n = rng.randrange(2, min(20, total))
                actions.append(rng.choice(phrases(_LESS, split)).format(n=n))
                lines.append(f"{total} - {n} = {total - n}")
                thoughts.append(steps(total, "-", n))
                total -= n
        if held_out(f"{start};{';'.join(lines)}") == fresh:
            break
    end = rng.choice(phrases(_END, split)).format(t=what, p=who)
    asked = rng.choice(phrases(_JOIN, split)).format(p=who, a=start, t=what, x=actions[0], y=actions[1], e=end)
    return Conversation(
        [user(asked), assistant(f"The answer is {total}.", "\n".join(thoughts))],
        kind="problem",
        answer=str(total),
    )


def direct(rng: random.Random, split: Split) -> Conversation:
    """The same sums with the order to answer at once: what thinking is measured against."""
    conversation = sum_by_steps(rng, split)
    conversation.turns[0].content += " Answer at once."
    conversation.turns[1].thinking = ""
    conversation.kind = "direct"
    return conversation
