"""Key sentences: a summary made of sentences that were said, picked by how central they are.

A model of a few million parameters cannot summarise; it can only be asked for words that look like
a summary. So beside a small model nothing is written: sentences are taken as they stand, those
nearest to the centre of all of them (cosine of tf-idf vectors), no two that say the same.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence

from llmos_ram.words import content_words, is_question, is_small_talk

_ENDS = (".", "!", ":", ";", "。", "！", "।")
_END = re.compile(r"(?<=[.!?])\s+|\n+")
#: What the person told weighs more than what the model made of it.
_WEIGHT = {"user": 1.0, "tool": 0.8}
_WEIGHT_OTHERS = 0.6
#: A sentence this near to one that was taken already adds nothing.
_SAME = 0.6
#: Longer ones are lists, logs and code; a summary of those would be one of them.
_LONGEST = 400
_SPEAKER = {"user": "You said", "assistant": "The model said", "tool": "A tool said"}

Vector = dict[str, float]


def statements(text: str, role: str = "user") -> list[str]:
    """Sentences of a text that tell something: no questions, no small talk, nothing of one word.

    An answer of the model that was cut off ends in half a sentence, which is left out.
    """
    found = []
    for part in _END.split(text):
        sentence = " ".join(part.split())
        if not sentence or len(sentence) > _LONGEST or is_small_talk(sentence) or is_question(sentence):
            continue
        if role == "assistant" and not sentence.rstrip("\"'”’)*_`").endswith(_ENDS):
            continue
        if len(content_words(sentence)) >= 2:
            found.append(sentence)
    return found


def key_sentences(
    said: Sequence[tuple[str, str]], budget: int, count_tokens: Callable[[str], int]
) -> list[tuple[str, str]]:
    """The most central sentences that fit a budget together, in the order in which they were said.

    Args:
        said: (role, text) of each page, oldest first.
        budget: tokens.
        count_tokens: length of a text.

    Returns:
        (role, sentence) of each.
    """
    found: list[tuple[str, str]] = []
    seen: set[str] = set()
    for role, text in said:
        for sentence in statements(text, role):
            if sentence.casefold() not in seen:
                seen.add(sentence.casefold())
                found.append((role, sentence))
    vectors = _vectors([sentence for _, sentence in found])
    centre: Vector = {}
    for vector in vectors:
        for word, weight in vector.items():
            centre[word] = centre.get(word, 0.0) + weight
    ranked = sorted(
        range(len(found)),
        key=lambda at: (-_WEIGHT.get(found[at][0], _WEIGHT_OTHERS) * _cosine(vectors[at], centre), -at),
    )
    taken: list[int] = []
    for at in ranked:
        cost = count_tokens(found[at][1]) + 1
        if cost <= budget and all(_cosine(vectors[at], vectors[other]) < _SAME for other in taken):
            taken.append(at)
            budget -= cost
    return [found[at] for at in sorted(taken)]


def as_text(sentences: Sequence[tuple[str, str]]) -> str:
    """Sentences as a text that says who said them."""
    parts: list[str] = []
    before = ""
    for role, sentence in sentences:
        parts.append(sentence if role == before else f"{_SPEAKER.get(role, role)}: {sentence}")
        before = role
    return " ".join(parts)


def _vectors(sentences: Sequence[str]) -> list[Vector]:
    words = [Counter(content_words(sentence)) for sentence in sentences]
    spread = Counter(word for counts in words for word in counts)
    return [
        {word: count * math.log(1 + len(sentences) / spread[word]) for word, count in counts.items()}
        for counts in words
    ]


def _cosine(one: Vector, other: Vector) -> float:
    short, long = (one, other) if len(one) <= len(other) else (other, one)
    dot = sum(weight * long.get(word, 0.0) for word, weight in short.items())
    size = math.sqrt(sum(w * w for w in one.values()) * sum(w * w for w in other.values()))
    return dot / size if size else 0.0
