"""Of each passage the sentence that is nearest to the question, for a model that loses itself in more.

A model of a few million parameters answers with a sentence of the passage, and the more of them there
are, the more often with a wrong one. So an embedder, which is the better reader of the two, chooses
(extractive compression of retrieved text, as in RECOMP, Xu et al. 2023, arXiv 2310.04408).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from llmos_disk.decide import stems
from llmos_disk.search import Hit

#: Models up to so many parameters get sentences (``auto``). Chosen between the bundled one, for which it
#: is measured, and models that follow instructions; see docs/plugins/disk.md.
SMALL = 100_000_000
#: Kinds of files whose text is sentences.
PROSE = frozenset({"text", "markdown", "rst", "html", "pdf", "docx", "epub"})
#: Sentences of a passage that are embedded: those that share most words with the question.
_TRIED = 3
#: How much a sentence that holds all words of the question is ahead of one that holds none.
_WORDS = 0.3

#: (question, texts) -> cosine of each, None where nothing can embed them.
Similarities = Callable[[str, Sequence[str]], "list[float] | None"]

#: A sentence ends before the next one, an empty line or an item; a line alone may go on in the next.
_END = re.compile(
    r"(?:(?<=[.!?])|(?<=[.!?][\"')\]]))\s+(?=[\"'(\[]?[A-Z0-9])"
    r"|\n\s*\n\s*|\n(?=[ \t]*(?:[-*+•|>#]|\d+[.)])[ \t])"
)


def sentences(text: str) -> list[tuple[int, str]]:
    """(lines before it, sentence) for each sentence, item or row of a text that says something."""
    found: list[tuple[int, str]] = []
    start = 0
    for end in (*(match.span() for match in _END.finditer(text)), (len(text), len(text))):
        part = text[start : end[0]]
        if len(re.findall(r"\w+", part)) > 1:
            before = start + len(part) - len(part.lstrip())
            found.append((text.count("\n", 0, before), " ".join(part.split())))
        start = end[1]
    return found


def nearest_sentences(question: str, hits: Sequence[Hit], similarities: Similarities) -> list[Hit]:
    """The hits with the nearest sentence for their text; code and data stay whole.

    Args:
        question: the user's words.
        hits: what the search found.
        similarities: compares texts with the question.
    """
    wanted = stems(question)

    def share(text: str) -> float:
        return len(wanted & stems(text)) / len(wanted) if wanted else 0.0

    tried: list[tuple[int, int, str, float]] = []  # place of the hit, line, sentence, share of the words
    for place, hit in enumerate(hits):
        parts = sentences(hit.passage.text) if hit.passage.kind in PROSE else []
        if len(parts) > 1:
            rated = [(place, line, text, share(text)) for line, text in parts]
            tried += sorted(rated, key=lambda one: -one[3])[:_TRIED]
    if not tried:
        return list(hits)
    near = similarities(question, [f"{hits[place].passage.heading}: {text}" for place, _, text, _ in tried])
    scores = [_WORDS * one[3] + (near[at] if near else 0.0) for at, one in enumerate(tried)]
    best: dict[int, int] = {}
    for at, (place, *_) in enumerate(tried):
        if place not in best or scores[at] > scores[best[place]]:
            best[place] = at
    return [_only(hit, *tried[best[place]][1:3]) if place in best else hit for place, hit in enumerate(hits)]


def _only(hit: Hit, line: int, text: str) -> Hit:
    """The hit with this sentence alone, at its line where lines are known."""
    passage = hit.passage
    if passage.line:
        line = min(passage.line + line, passage.end_line)
        return replace(hit, passage=replace(passage, text=text, line=line, end_line=line))
    return replace(hit, passage=replace(passage, text=text))
