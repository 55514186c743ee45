"""Which sentences of an answer do the passages support? Marks for the reader, not a proof.

A sentence counts as supported when one passage holds its words, and every number and name in it.
It is lexical on purpose: a small embedding model finds a sentence and its negation alike.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from llmos_disk.decide import stems

#: Share of a sentence's content words that a passage must hold.
NEEDED = 0.6

_SENTENCE = re.compile(r"[^.!?\n]*(?:[.!?](?=[\w\"')\]])[^.!?\n]*)*[.!?]*[\"')\]]*(?:\s*\[\d+\])*")
_MARK = re.compile(r"\s*\[(\d+)\]")
_NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?![\w])|\b\d+(?:\.\d+)*\b")
_NAME = re.compile(r"(?<=[a-z,;:)] )[A-Z][\w-]+|\b[A-Z]{2,}\b|\b[a-z]+[A-Z]\w*\b|\b\w+_\w+\b")
_NUMBER_WORDS = {
    word: str(number)
    for number, words in {
        2: "two twice",
        3: "three thrice",
        4: "four",
        5: "five",
        6: "six",
        7: "seven",
        8: "eight",
        9: "nine",
        10: "ten",
        11: "eleven",
        12: "twelve dozen",
        13: "thirteen",
        14: "fourteen",
        15: "fifteen",
        16: "sixteen",
        17: "seventeen",
        18: "eighteen",
        19: "nineteen",
        20: "twenty",
        30: "thirty",
        40: "forty",
        50: "fifty",
        60: "sixty",
        70: "seventy",
        80: "eighty",
        90: "ninety",
        100: "hundred",
        1000: "thousand",
    }.items()
    for word in words.split()
}
_NEGATION = re.compile(
    r"\b(not|never|no|none|cannot|can't|don't|doesn't|isn't|aren't|won't|without|neither|nor)\b", re.I
)
#: Sentences that claim nothing about the files.
_NO_CLAIM = re.compile(
    r"^\W*(the pages do not say|i (do not|don't) know|sure|of course|here (is|are)|yes|no|hello|hi|thanks?|"
    r"you('re| are) welcome|let me know|i hope)\b[^.]{0,40}\W*$",
    re.IGNORECASE,
)
_OPPOSITES = (
    ("enable", "disable"),
    ("increase", "decrease"),
    ("before", "after"),
    ("first", "last"),
    ("minimum", "maximum"),
    ("min", "max"),
    ("always", "never"),
    ("allow", "forbid"),
    ("sync", "async"),
    ("synchronous", "asynchronous"),
    ("true", "false"),
    ("public", "private"),
    ("required", "optional"),
    ("open", "close"),
    ("add", "remove"),
    ("start", "stop"),
    ("success", "failure"),
    ("succeed", "fail"),
    ("read", "write"),
    ("up", "down"),
    ("more", "less"),
    ("above", "below"),
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of an answer.

    Attributes:
        start, end: where it stands in the answer, in characters.
        supported: True, False, or None when it claims nothing.
        passage: number (or position from 1) of the passage that supports it best, 0 for none.
        score: share of its words that this passage holds.
    """

    start: int
    end: int
    text: str
    supported: bool | None
    passage: int
    score: float


def sentences(text: str) -> list[tuple[int, int]]:
    """(start, end) of each sentence; citation marks belong to the sentence before them; code is left out."""
    blank = re.sub(r"```.*?(```|$)", lambda match: re.sub(r"[^\n]", " ", match[0]), text, flags=re.S)
    spans = []
    for match in _SENTENCE.finditer(blank):
        start, end = match.span()
        body = blank[start:end]
        start += len(body) - len(body.lstrip(" \t-*>#"))
        end -= len(body) - len(body.rstrip())
        if end - start > 2 and re.search(r"\w", blank[start:end]):
            spans.append((start, end))
    return spans


def _numbers(text: str) -> set[str]:
    """Numbers in a text, those written as words too (``one`` is rather a pronoun and left out)."""
    digits = {number.replace(",", "").rstrip(".") for number in _NUMBER.findall(_MARK.sub("", text))}
    words = {_NUMBER_WORDS[word] for word in re.findall(r"[a-z]+", text.lower()) if word in _NUMBER_WORDS}
    return digits | words


def _sentences_of(passage: str) -> list[str]:
    return [part for part in re.split(r"(?<=[.!?;:])\s+|\n{2,}|\n(?=[-*|] )", passage) if part.strip()]


def _contradicts(sentence: str, passage: str) -> bool:
    """Negated here and not in the part of the passage that it is about, or the other way round."""
    wanted = stems(sentence)
    parts = _sentences_of(passage)
    if not parts or not wanted:
        return False
    nearest = max(parts, key=lambda part: len(wanted & stems(part)) / (len(stems(part)) + 4) ** 0.5)
    if len(wanted & stems(nearest)) < 0.4 * len(wanted):
        return False
    if bool(_NEGATION.search(sentence)) != bool(_NEGATION.search(nearest)):
        return True
    mine = set(re.findall(r"[a-z]+", sentence.lower()))
    theirs = set(re.findall(r"[a-z]+", passage.lower()))
    near = set(re.findall(r"[a-z]+", nearest.lower()))
    for one, other in _OPPOSITES:
        for word, opposite in ((one, other), (other, one)):
            if (
                _has(mine, word)
                and not _has(mine, opposite)
                and _has(near, opposite)
                and not _has(theirs, word)
            ):
                return True
    return False


def _has(words: set[str], word: str) -> bool:
    return any(one == word or (len(word) > 3 and one.startswith(word)) for one in words)


def check(answer: str, passages: Sequence[tuple[int, str]]) -> list[Sentence]:
    """Look at each sentence of an answer.

    Args:
        answer: the finished text.
        passages: (number, text with its heading) of what the model was given.
    """
    found = []
    for start, end in sentences(answer):
        raw = answer[start:end]
        text = _MARK.sub("", raw).strip()
        if _NO_CLAIM.match(text) or text.endswith("?") or len(stems(text)) < 2:
            found.append(Sentence(start, end, raw, None, 0, 0.0))
            continue
        best, best_score, supported = 0, 0.0, False
        for number, passage in passages:
            score = _score(text, passage)
            good = score >= NEEDED and not _contradicts(text, passage)
            if (good, score) > (supported, best_score):
                best, best_score, supported = number, score, good
        found.append(Sentence(start, end, raw, supported, best if supported else 0, best_score))
    return found


def _score(sentence: str, passage: str) -> float:
    """Share of the sentence's words in the passage; 0 when a number or name of it is missing there."""
    if _numbers(sentence) - _numbers(passage):
        return 0.0
    low = passage.lower()
    if any(name.lower() not in low for name in _NAME.findall(sentence)):
        return 0.0
    wanted = stems(sentence)
    return len(wanted & stems(passage)) / len(wanted) if wanted else 0.0
