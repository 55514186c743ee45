"""Named quality heuristics; each returns why a passage is dropped, or nothing.

The rules and limits are those of Gopher (arXiv 2112.11446, table A1) and of C4 (1910.10683). The
minimum length is lower than Gopher's 50 words, because this corpus has dictionary entries and
short dialogues on purpose.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import pairwise
from urllib.parse import urlsplit

MINIMUM_WORDS = 4
#: Hosts whose text is never wanted: link farms, trackers and sites that forbid reuse. Examples;
#: a corpus without URLs passes untouched.
BLOCKED_HOSTS = frozenset({"example-spam.test", "content-farm.test", "doubleclick.net"})

_STOP_WORDS = frozenset({"the", "be", "to", "of", "and", "that", "have", "with", "a", "in", "is", "it"})
_WORD = re.compile(r"\S+")

Rule = Callable[[str], str | None]


def blocked_host(url: str, blocked: Iterable[str] = BLOCKED_HOSTS) -> str | None:
    """Reason to drop by address: the host, or a parent domain of it, is on the list."""
    host = (urlsplit(url).hostname or "") if url else ""
    labels = host.split(".")
    names = {".".join(labels[i:]) for i in range(len(labels))}
    return "host_blocked" if names & set(blocked) else None


def gopher_length(text: str) -> str | None:
    """Too few words, or more than 100,000."""
    count = len(_WORD.findall(text))
    return "gopher_word_count" if not MINIMUM_WORDS <= count <= 100_000 else None


def gopher_word_length(text: str) -> str | None:
    """Mean word length outside 3-10 characters (short passages: 2-14)."""
    words = _WORD.findall(text)
    low, high = (3.0, 10.0) if len(words) >= 50 else (2.0, 14.0)
    mean = sum(map(len, words)) / max(1, len(words))
    return "gopher_mean_word_length" if not low <= mean <= high else None


def gopher_symbols(text: str) -> str | None:
    """More than one hash sign or ellipsis for ten words."""
    words = max(1, len(_WORD.findall(text)))
    symbols = text.count("#") + text.count("...") + text.count("…")
    return "gopher_symbol_ratio" if symbols / words > 0.1 else None


def gopher_bullets(text: str) -> str | None:
    """More than 90 % of the lines are list items, or more than 30 % end in an ellipsis."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) < 5:
        return None
    bullets = sum(line.startswith(("-", "*", "•")) for line in lines)
    dots = sum(line.endswith(("...", "…")) for line in lines)
    return "gopher_bullets" if bullets > 0.9 * len(lines) or dots > 0.3 * len(lines) else None


def gopher_alphabetic(text: str) -> str | None:
    """Too few words hold a letter: under 60 % (Gopher: 80 %, which would drop worked sums), short 50 %."""
    words = _WORD.findall(text)
    letters = sum(any(c.isalpha() for c in w) for w in words)
    share = letters / max(1, len(words))
    return "gopher_alphabetic" if share < (0.6 if len(words) >= 50 else 0.5) else None


def gopher_stop_words(text: str) -> str | None:
    """A longer passage with fewer than two common English words is no English prose."""
    words = [w.strip(".,;:!?\"'").lower() for w in _WORD.findall(text)]
    if len(words) < 50:
        return None
    return "gopher_stop_words" if len(_STOP_WORDS & set(words)) < 2 else None


def gopher_repetition(text: str) -> str | None:
    """Repeated lines over 30 %, or one word bigram over 20 % of a passage."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) >= 10 and 1 - len(set(lines)) / len(lines) > 0.3:
        return "gopher_repeated_lines"
    words = text.split()
    if len(words) >= 50:
        top = Counter(pairwise(words)).most_common(1)[0][1]
        if top * 2 / len(words) > 0.2:
            return "gopher_repeated_bigram"
    return None


def c4_markers(text: str) -> str | None:
    """Text that C4 drops: placeholder Latin, or a page that asks for JavaScript or cookies."""
    low = text.lower()
    if "lorem ipsum" in low:
        return "c4_lorem_ipsum"
    if "enable javascript" in low or "accept cookies" in low or "cookie policy" in low:
        return "c4_boilerplate"
    return None


def c4_braces(text: str) -> str | None:
    """C4 drops every page with a curly bracket, to lose code; here only where they are dense.

    Command templates use a few of them, and those are wanted.
    """
    return "c4_curly_bracket" if text.count("{") * 20 > len(text) + 80 else None


#: In the order in which they run.
RULES: tuple[tuple[str, Rule], ...] = (
    ("gopher_length", gopher_length),
    ("gopher_word_length", gopher_word_length),
    ("gopher_symbols", gopher_symbols),
    ("gopher_bullets", gopher_bullets),
    ("gopher_alphabetic", gopher_alphabetic),
    ("gopher_stop_words", gopher_stop_words),
    ("gopher_repetition", gopher_repetition),
    ("c4_markers", c4_markers),
    ("c4_braces", c4_braces),
)
