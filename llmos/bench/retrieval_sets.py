"""The question sets of ``llmos bench retrieval``, and how they were made.

``paraphrases.tsv``: 121 questions on the API documentation of Node.js, written by hand from its
headings and texts so that they avoid the section's own name; every section that answers a question
counts, written as ``file#beginning of the heading``. The weights of the search were tuned on these.
``paraphrases_held_out.tsv``: 130 more, written in the same way before any of them was searched for, and
never tuned on: these are scored. Identifiers are drawn from the headings
themselves with a fixed seed. ``other_questions.txt``: questions and small talk that the documentation
does not answer. ``support.tsv``: passages on made-up things with sentences that they do and do not
support; ``support_held_out.tsv`` was written afterwards and never tuned on.

``made_up.tsv``: 20 documents of one sentence, a question on each and the word that answers it.
``made_up_held_out.tsv``: 100 made-up documents as they lie on people's disks (notes, letters, notices,
recipes, minutes, house rules), a heading and one to five sentences each, written by hand without a look
at what the bundled model is trained on, and a question as a person would ask it, often in other words
than the document's. Most hold further names and numbers beside the one that is asked for. The answer is
a word, number or name of the document; ways to write it are separated by ``|``. None of them was tried
on a model before the set was finished: this set is scored.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_DATA = Path(__file__).with_name("retrieval_data")

_NAMED = re.compile(r"^(?:new |Static method: )?((?:[A-Za-z_]\w*\.)+[A-Za-z_]\w*|--[a-z][\w-]+)")


@dataclass(frozen=True, slots=True)
class Question:
    """A question and the (file name, beginning of the innermost heading) of sections that answer it."""

    text: str
    answers: tuple[tuple[str, str], ...]

    def answered_by(self, file: str, heading: str) -> bool:
        """Whether a passage is from a section that answers it; ``heading`` is joined by `` > ``."""
        last = heading.rpartition(" > ")[2]
        stem = Path(file).stem
        return any(stem == name and last.startswith(start) for name, start in self.answers)


def paraphrases(name: str = "paraphrases") -> list[Question]:
    """Questions in other words than the documentation's own; ``name`` is that of the file."""
    questions = []
    for line in (_DATA / f"{name}.tsv").read_text(encoding="utf-8").splitlines():
        text, _, answers = line.partition("\t")
        pairs = tuple((one.partition("#")[0], one.partition("#")[2]) for one in answers.split("|"))
        questions.append(Question(text, pairs))
    return questions


def identifiers(headings: Iterable[tuple[str, str]], count: int, seed: int = 1) -> list[Question]:
    """Names of functions, properties and options, drawn from the headings.

    Args:
        headings: (file name, innermost heading) of every section.
        count: how many.
        seed: of the draw.
    """
    places: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for file, heading in headings:
        match = _NAMED.match(heading)
        if match:
            places[match[1]].add((Path(file).stem, heading))
    names = sorted(places)
    random.Random(seed).shuffle(names)
    return [Question(name, tuple(sorted(places[name]))) for name in names[:count]]


def other_questions() -> list[str]:
    """Questions and small talk that the documentation does not answer."""
    return (_DATA / "other_questions.txt").read_text(encoding="utf-8").split("\n")[:-1]


def support_cases(name: str) -> list[tuple[str, str, bool]]:
    """(passage, sentence, whether the passage supports it); ``name`` is ``support`` or ``support_held_out``."""
    cases = []
    passage = ""
    for line in (_DATA / f"{name}.tsv").read_text(encoding="utf-8").splitlines():
        first, sentence, verdict = line.split("\t")
        passage = passage if first == "=" else first
        cases.append((passage, sentence, verdict == "yes"))
    return cases


def made_up(name: str = "made_up") -> list[tuple[str, str, str, tuple[str, ...]]]:
    """(file name, its text, question, ways to write the word that the answer must hold).

    Args:
        name: ``made_up`` or ``made_up_held_out``.
    """
    rows = []
    for line in (_DATA / f"{name}.tsv").read_text(encoding="utf-8").splitlines():
        file, text, question, answer = line.split("\t")
        rows.append((file, text.replace("\\n", "\n") + "\n", question, tuple(answer.split("|"))))
    return rows
