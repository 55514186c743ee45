"""What an answer says in the end, in a form that can be counted."""

from __future__ import annotations

import re

_MARKED = re.compile(r"(?:^|\n)\s*(?:the\s+)?(?:final\s+)?answer(?:\s+is)?\s*[:=]\s*(.+)", re.IGNORECASE)
_NUMBER = re.compile(r"[-−]?\d[\d,]*(?:\.\d+)?")
_ASKS_NUMBER = re.compile(
    r"\bhow (?:many|much|old|long|far|tall|big)\b|\d\s*[-+*/x×÷−]\s*\d"
    r"|\b(?:sum|difference|product|total|plus|minus|times)\b",
    re.IGNORECASE,
)
_ARTICLES = re.compile(r"\b(?:the|a|an)\b")
#: An answer of more words is free text and cannot be voted on.
_SHORT = 6

#: Asked of models that have no thinking tags.
THINK_THEN_ANSWER = "Think step by step first. Then write one last line: Answer: and the answer alone."


def asks_for_number(question: str) -> bool:
    """Whether the answer is a number."""
    return bool(_ASKS_NUMBER.search(question))


def _number(text: str) -> str:
    value = text.strip().replace(",", "").replace("−", "-")
    whole, _, rest = value.partition(".")
    rest = rest.rstrip("0")
    sign = "-" if whole.startswith("-") else ""
    whole = whole.lstrip("-").lstrip("0") or "0"
    out = sign + whole + ("." + rest if rest else "")
    return "0" if out == "-0" else out


def number_of(text: str) -> str:
    """A text that is one number, in the form of a key; empty when it is none."""
    return _number(text) if _NUMBER.fullmatch(text.strip()) else ""


def key_of(answer: str, question: str = "") -> str:
    """The answer in a form in which equal answers are equal; empty for free text.

    A line ``Answer: …`` wins. Where a number is asked for, the last number counts, without
    thousands separators and trailing zeros; else a short answer without articles and punctuation.
    """
    marked = _MARKED.findall(answer)
    text = (marked[-1] if marked else answer).strip()
    if asks_for_number(question) or marked:
        numbers = _NUMBER.findall(text)
        if numbers:
            return _number(numbers[-1])
    words = _ARTICLES.sub(" ", re.sub(r"[^\w\s.-]", " ", text.casefold())).replace(".", " ").split()
    if not words or (len(words) > _SHORT and not marked):
        return ""
    return " ".join(words[:_SHORT])
