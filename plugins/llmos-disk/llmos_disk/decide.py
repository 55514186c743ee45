"""Does this question need the user's files? Decided by what the files hold, not by asking a model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from llmos_disk.query import STOP_WORDS, looks_like_identifier, terms_of
from llmos_disk.search import Hit

#: Similarity from which a passage is worth reading by itself (measured on questions that the files
#: answer against small talk, sums and questions about other things; see docs/plugins/disk.md).
CLEAR = 0.42
#: Similarity that is enough when the words agree as well.
LIKELY = 0.30
#: Share of the question's words that such a passage must hold.
COVERED = 0.5
#: A passage this much less similar than the best one is left out.
GAP = 0.22

_SMALL_TALK = re.compile(
    r"^\W*(hi|hello|hey|yo|good (morning|evening|afternoon|night)|thanks?( you)?( (so|very) much)?|thx|bye"
    r"|goodbye|ok(ay)?|yes|no|sure|great|cool|nice|lol|how are you( doing)?|who are you|what are you"
    r"|what('| i)s your name|continue|go on|stop|help|test(ing)?|please)\W*(there|all|you|llmos|today)?\W*$",
    re.IGNORECASE,
)
_SUM = re.compile(
    r"^\W*(what('| i)s|how much is|compute|calculate|solve)?[\d\s+\-*/x×÷^().,=%]+(equal)?\W*$", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether passages enter, which, and why, in words for the user.

    ``whole``: they are a file that the user mentioned, and stay as they are.
    """

    retrieve: bool
    why: str
    hits: tuple[Hit, ...] = ()
    whole: bool = False


def worth_searching(question: str) -> str:
    """Empty when a search is worth while, else why it is not."""
    if _SMALL_TALK.match(question):
        return "small talk"
    if _SUM.match(question) and any(letter.isdigit() for letter in question):
        return "a sum"
    if not terms_of(question):
        return "no words to look for"
    return ""


def _stem(word: str) -> str:
    """A crude stem: enough to tell that ``files`` and ``file`` agree."""
    for ending in (
        "ingly",
        "edly",
        "ations",
        "ation",
        "ings",
        "ing",
        "ies",
        "ied",
        "ers",
        "ed",
        "es",
        "er",
        "s",
    ):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word[:-1] if word.endswith("e") and len(word) > 4 else word


def stems(text: str) -> set[str]:
    """Stems of the content words of a text."""
    return {_stem(word) for word in re.findall(r"[^\W_]+", text.lower()) if word not in STOP_WORDS}


def coverage(question: str, hit: Hit) -> float:
    """Share of the question's content words that the passage (with its headings) holds."""
    wanted = stems(question)
    if not wanted:
        return 0.0
    return len(wanted & stems(f"{hit.passage.title} {hit.passage.heading} {hit.passage.text}")) / len(wanted)


def choose(question: str, hits: Sequence[Hit], dense: bool) -> Verdict:
    """Keep the passages that speak to the question; none when nothing does.

    Args:
        question: the user's words.
        hits: what the search found, best first.
        dense: whether similarities are known.
    """
    if not hits:
        return Verdict(False, "nothing was found")
    best = max((hit.similarity or 0.0 for hit in hits), default=0.0)
    named = looks_like_identifier(question)
    kept: list[Hit] = []
    for hit in hits:
        share = coverage(question, hit)
        similarity = hit.similarity or 0.0
        clear = similarity >= CLEAR
        likely = similarity >= LIKELY and share >= COVERED
        by_name = named and hit.word_rank in range(1, 6) and share >= 0.5
        by_words = not dense and share >= 0.6
        if (clear or likely or by_name or by_words) and (not similarity or similarity >= best - GAP or by_name):
            kept.append(hit)
    if not kept:
        return Verdict(False, f"nothing in the files is close enough (best similarity {best:.2f})")
    return Verdict(True, f"{len(kept)} passages speak to it (best similarity {best:.2f})", tuple(kept))
