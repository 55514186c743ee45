"""Words of a text as the pager sees them: content words, subjects, questions, small talk.

No model is asked here: evicting and recalling happen at every turn, also beside a model too
small to judge its own memory.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

#: What a page is: it tells something, it only asks or answers, it is small talk.
TELLS, ANSWERS, IDLE = 2, 1, 0

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")

#: English function words; they carry no subject and would match everything.
STOP_WORDS = frozenset(
    [
        "a",
        "about",
        "above",
        "after",
        "again",
        "all",
        "also",
        "am",
        "an",
        "and",
        "any",
        "are",
        "aren't",
        "as",
        "at",
        "be",
        "because",
        "been",
        "before",
        "being",
        "below",
        "between",
        "both",
        "but",
        "by",
        "can",
        "can't",
        "could",
        "couldn't",
        "did",
        "didn't",
        "do",
        "does",
        "doesn't",
        "doing",
        "don't",
        "down",
        "during",
        "each",
        "few",
        "for",
        "from",
        "further",
        "had",
        "has",
        "have",
        "having",
        "he",
        "her",
        "here",
        "hers",
        "him",
        "his",
        "how",
        "i",
        "i'd",
        "i'll",
        "i'm",
        "i've",
        "if",
        "in",
        "into",
        "is",
        "isn't",
        "it",
        "it's",
        "its",
        "itself",
        "just",
        "let's",
        "me",
        "more",
        "most",
        "my",
        "myself",
        "no",
        "nor",
        "not",
        "now",
        "of",
        "off",
        "on",
        "once",
        "only",
        "or",
        "other",
        "our",
        "ours",
        "out",
        "over",
        "own",
        "please",
        "same",
        "she",
        "should",
        "so",
        "some",
        "such",
        "tell",
        "than",
        "that",
        "that's",
        "the",
        "their",
        "theirs",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "those",
        "through",
        "to",
        "too",
        "under",
        "until",
        "up",
        "us",
        "very",
        "was",
        "wasn't",
        "we",
        "were",
        "weren't",
        "what",
        "what's",
        "when",
        "where",
        "which",
        "while",
        "who",
        "who's",
        "whom",
        "whose",
        "why",
        "will",
        "with",
        "won't",
        "would",
        "you",
        "you're",
        "your",
        "yours",
        "remember",
        "recall",
        "know",
        "said",
        "say",
        "again",
    ]
)

_SMALL_TALK = frozenset(
    [
        "hi",
        "hello",
        "hey",
        "thanks",
        "lot",
        "much",
        "bit",
        "thank",
        "ok",
        "okay",
        "yes",
        "no",
        "sure",
        "great",
        "good",
        "nice",
        "bye",
        "goodbye",
        "cool",
        "fine",
        "morning",
        "evening",
        "night",
        "well",
        "welcome",
        "please",
        "sorry",
        "lol",
        "haha",
        "right",
        "alright",
        "perfect",
        "wonderful",
        "lovely",
        "day",
        "there",
    ]
)

_QUESTION_START = frozenset(
    [
        "what",
        "when",
        "where",
        "which",
        "who",
        "whom",
        "whose",
        "why",
        "how",
        "is",
        "are",
        "was",
        "were",
        "do",
        "does",
        "did",
        "can",
        "could",
        "will",
        "would",
        "should",
        "may",
        "tell",
        "remind",
    ]
)

#: What links a subject to its value: "my locker code IS 4821".
_COPULA = re.compile(
    r"\s(?:is|are|was|were|has|have|lives?|works?|likes?|prefers?|wants?|became|becomes|changed|moved|equals)\s|\s*[:=]\s*"
)


#: Verbs that hold for one thing at a time.
_SINGLE = frozenset(["live", "work", "prefer", "moved", "became", "become", "changed"])


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().replace("’", "'")


def _stem(word: str) -> str:
    """A light plural and possessive stemmer, enough to meet "sister's" with "sister"."""
    word = word.removesuffix("'s")
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def all_words(text: str) -> list[str]:
    """Every word, folded, in order."""
    return _WORD.findall(_fold(text))


def content_words(text: str) -> list[str]:
    """Words that carry meaning, folded and stemmed, in order; all words if nothing else is left."""
    words = all_words(text)
    kept = [_stem(word) for word in words if word not in STOP_WORDS]
    return kept or [_stem(word) for word in words]


@lru_cache(maxsize=1024)
def is_question(text: str) -> bool:
    """True for a text that asks and tells nothing."""
    stripped = text.strip()
    words = all_words(stripped)
    if not words:
        return False
    sentences = [part for part in re.split(r"(?<=[.!?])\s+", stripped) if part]
    asks = [part for part in sentences if part.endswith("?")]
    if asks:
        return len(asks) * 2 >= len(sentences)
    return words[0] in _QUESTION_START and len(words) > 2 and not stripped.endswith(".")


@lru_cache(maxsize=1024)
def is_small_talk(text: str) -> bool:
    """True for greetings, thanks and other text without content."""
    words = all_words(text)
    if not words:
        return True
    return len(words) <= 8 and all(word in _SMALL_TALK or word in STOP_WORDS for word in words)


def subject_of(text: str) -> frozenset[str]:
    """Content words of what a statement is about: those before its verb.

    Numbers there belong to it ("room 12 is …"); where no such verb is, numbers are what is said.
    Where only "I" or the like stands before the verb, the verb belongs to it ("I live in …"), and
    where the verb may hold for many things at once ("I like …"), all words do. Of a single thing
    much can be said: the first word of what is said belongs to the subject ("Ana is allergic to …").
    """
    first = re.split(r"(?<=[.!?])\s+", text.strip(), maxsplit=1)[0]
    folded = _fold(first)
    verb = _COPULA.search(folded)
    head = folded[: verb.start()] if verb else folded
    words = [word for word in all_words(head) if word not in STOP_WORDS]
    if verb and not words:
        one = verb.group().strip()
        return frozenset([one]) if one.rstrip("s") in _SINGLE else frozenset(_without_numbers(folded))
    subject = content_words(head) if verb else _without_numbers(head)
    if verb and len(set(subject)) == 1:
        said = content_words(folded[verb.end() :])
        attribute = [word for word in said if not any(letter.isdigit() for letter in word)]
        subject += attribute[:1] if len(said) > 1 else []
    return frozenset(subject)


def _without_numbers(text: str) -> list[str]:
    return [word for word in content_words(text) if not any(letter.isdigit() for letter in word)]


def same_subject(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether two statements are about one thing, so that the newer supersedes the older."""
    if not one or not other:
        return False
    return one == other or (min(len(one), len(other)) >= 2 and (one <= other or other <= one))


#: Subject and content words of a statement.
About = tuple[frozenset[str], frozenset[str]]


@lru_cache(maxsize=1024)
def about(text: str) -> About:
    """Subject and content words of a statement; the same pages are compared again and again."""
    return subject_of(text), frozenset(content_words(text))


def renews(newer: About, older: About) -> bool:
    """Whether a later statement may give a new value to what an earlier one said.

    Wider than ``same_subject``, for it only decides which of two comes first: the later one may be
    worded freely, if it names all that the earlier one was about.
    """
    subject = older[0]
    return (len(subject) >= 2 and subject <= newer[1]) or same_subject(newer[0], subject)


def tells_anew(text: str, older: str) -> bool:
    """Whether a message itself gives a new value to what an older one said, in the same terms.

    Narrow, for the older one is then not brought: "The code is 12." after "My code is 7.", but not
    what asks for the code, in whatever form.
    """
    words = all_words(text)
    if not words or words[0] in _QUESTION_START or is_question(text) or not _COPULA.search(_fold(text)):
        return False
    return (
        bool(subject_of(text)) and about(text)[0] == about(older)[0] and not set(words) <= set(all_words(older))
    )
