"""What every generator works with: turns, conversations, splits and made-up words."""

from __future__ import annotations

import enum
import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

from llmos.formats import BUNDLED_TOOLS, DEFAULT_SYSTEM_PROMPT

T = TypeVar("T")


class Split(enum.Enum):
    """Which part of the world examples are drawn from.

    ``TRAIN``: training entities, phrasings, relations and numbers. ``NAMES``: new entities or number
    pairs in trained phrasings. ``PHRASES``: new phrasings as well. ``RELATIONS``: also relations (or
    number ranges) that training never showed.
    """

    TRAIN = "train"
    NAMES = "names"
    PHRASES = "phrases"
    RELATIONS = "relations"


@dataclass
class Turn:
    """One message, in the shape that the chat template takes.

    Attributes:
        role: ``system``, ``user``, ``assistant`` or ``tool``.
        content: visible text.
        thinking: what stands between ``<think>`` tags, for an assistant.
        calls: tool calls, each ``(name, arguments)``, for an assistant.
        learn: whether training takes loss on this turn (assistants only).
    """

    role: str
    content: str = ""
    thinking: str = ""
    calls: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    learn: bool = True


@dataclass
class Conversation:
    """Turns after the system message, which ``system`` and ``tools`` describe.

    Attributes:
        turns: user, assistant and tool turns in order.
        tools: names of the tools on offer; empty for none.
        system: text of the system message.
        kind: which ability it trains, for mixing and for scores.
        answer: what a held-out check looks for in the last answer.
        options: further facts for a check (the value, the page's number, and so on).
    """

    turns: list[Turn]
    tools: list[str] = field(default_factory=list)
    system: str = DEFAULT_SYSTEM_PROMPT
    kind: str = ""
    answer: str = ""
    options: dict[str, Any] = field(default_factory=dict)


Generator = Callable[[random.Random, Split], Conversation]
ALL_TOOLS = list(BUNDLED_TOOLS)


def held_out(key: str, one_in: int = 8) -> bool:
    """Whether a word, pair or phrasing belongs to the held-out part; fixed for all time."""
    return hashlib.blake2b(key.encode(), digest_size=4).digest()[0] % one_in == 0


def phrases(items: Sequence[str], split: Split, one_in: int = 6) -> list[str]:
    """The phrasings that a split may use: every ``one_in``-th is kept from training."""
    fresh = split in (Split.PHRASES, Split.RELATIONS)
    chosen = [p for i, p in enumerate(items) if (i % one_in == one_in - 1) == fresh]
    return chosen or list(items)


def split_words(text: str) -> tuple[str, ...]:
    """A list of words, written as one text."""
    return tuple(text.split())


def user(content: str) -> Turn:
    """A person's turn."""
    return Turn("user", content)


def assistant(content: str, thinking: str = "", learn: bool = True) -> Turn:
    """An answer."""
    return Turn("assistant", content, thinking, learn=learn)


def call(name: str, learn: bool = True, /, **arguments: str) -> Turn:
    """An assistant's turn that is one tool call."""
    return Turn("assistant", calls=[(name, arguments)], learn=learn)


def result(content: str) -> Turn:
    """What a tool gave back."""
    return Turn("tool", content)


_ONSETS = [
    "b",
    "br",
    "c",
    "ch",
    "cr",
    "d",
    "dr",
    "f",
    "fl",
    "g",
    "gl",
    "gr",
    "h",
    "j",
    "k",
    "kl",
    "l",
    "m",
    "n",
    "p",
    "pr",
    "qu",
    "r",
    "s",
    "sh",
    "sk",
    "st",
    "t",
    "th",
    "tr",
    "v",
    "w",
    "z",
]
_VOWELS = ["a", "e", "i", "o", "u", "ai", "ea", "ia", "oo", "ou"]
_CODAS = ["", "l", "n", "r", "s", "m", "d", "th", "nd", "rn", "x", "ck"]
_ENDS = {
    "person": ["a", "in", "o", "el", "ia", "us", "is", "ane", "or", "et", "ik", "y"],
    "place": ["ford", "ia", "holm", "wick", "mere", "dale", "ton", "burg", "stad", "haven", "ora", "um"],
    "thing": ["ix", "on", "ite", "ex", "ium", "or", "ine", "ara", "let", "oid"],
}


_FIRST_NAMES = [
    "Anna",
    "Ben",
    "Clara",
    "David",
    "Emma",
    "Felix",
    "Greta",
    "Henry",
    "Irene",
    "Jack",
    "Kate",
    "Leo",
    "Maria",
    "Nina",
    "Oscar",
    "Paul",
    "Rosa",
    "Sam",
    "Tina",
    "Victor",
    "Walter",
    "Xenia",
    "Adam",
    "Alice",
    "Andrew",
    "Arthur",
    "Barbara",
    "Carl",
    "Charles",
    "Charlotte",
    "Daniel",
    "Diana",
    "Edward",
    "Eleanor",
    "Elizabeth",
    "Eric",
    "Eva",
    "Frank",
    "George",
    "Grace",
    "Hannah",
    "Harry",
    "Helen",
    "Hugo",
    "Ian",
    "Isabel",
    "Jacob",
    "James",
    "Jane",
    "John",
    "Joseph",
    "Julia",
    "Karl",
    "Laura",
    "Lewis",
    "Lily",
    "Linda",
    "Lisa",
    "Louis",
    "Lucy",
    "Luke",
    "Margaret",
    "Mark",
    "Martin",
    "Mary",
    "Matthew",
    "Max",
    "Michael",
    "Mike",
    "Nora",
    "Olivia",
    "Oliver",
    "Peter",
    "Philip",
    "Ralph",
    "Rachel",
    "Richard",
    "Robert",
    "Roger",
    "Ruth",
    "Sarah",
    "Simon",
    "Sophie",
    "Stephen",
    "Susan",
    "Thomas",
    "Tom",
    "Tony",
    "Vera",
    "William",
    "Yusuf",
    "Ahmed",
    "Chen",
    "Fatima",
    "Ivan",
    "Kenji",
    "Mei",
    "Olga",
    "Pedro",
    "Priya",
    "Ravi",
]
_SURNAMES = [
    "Baker",
    "Brown",
    "Carter",
    "Clark",
    "Cook",
    "Cooper",
    "Davis",
    "Evans",
    "Fisher",
    "Foster",
    "Garcia",
    "Gray",
    "Green",
    "Hall",
    "Harlow",
    "Harris",
    "Hill",
    "Hughes",
    "Jackson",
    "Johnson",
    "Jones",
    "Keller",
    "King",
    "Lee",
    "Lopez",
    "Martin",
    "Meyer",
    "Miller",
    "Moore",
    "Morgan",
    "Murphy",
    "Nelson",
    "Novak",
    "Parker",
    "Patel",
    "Price",
    "Reed",
    "Roberts",
    "Robinson",
    "Rossi",
    "Schmidt",
    "Scott",
    "Silva",
    "Smith",
    "Stone",
    "Taylor",
    "Turner",
    "Walker",
    "Ward",
    "Weber",
    "White",
    "Williams",
    "Wilson",
    "Wood",
    "Wright",
    "Young",
]


def real_name(rng: random.Random) -> str:
    """An everyday name of a person: common words copy differently from made-up ones."""
    first, last = rng.choice(_FIRST_NAMES), rng.choice(_SURNAMES)
    return rng.choice((first, first, f"{first} {last}", last))


@cache
def common_words() -> tuple[str, ...]:
    """Common English words (``words.txt``)."""
    text = files("llmos.foundry.tasks").joinpath("words.txt").read_text(encoding="utf-8")
    return tuple(w for line in text.splitlines() if not line.startswith("#") for w in line.split())


def invented(rng: random.Random, kind: str, split: Split) -> str:
    """A capitalised name that no book holds; held-out splits get names of their own.

    Args:
        rng: source of chance.
        kind: ``person``, ``place`` or ``thing``.
        split: training and held-out names are disjoint.
    """
    while True:
        count = rng.choice((1, 1, 2))
        body = "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(count))
        name = (body + rng.choice(_ENDS[kind])).capitalize()
        if 4 <= len(name) <= 10 and held_out(name) == (split is not Split.TRAIN):
            return name


def made_up(rng: random.Random, kind: str, split: Split) -> str:
    """A name for an example: invented, and in training now and then an everyday word or name."""
    if split is Split.TRAIN and rng.random() < 0.2:
        word = real_name(rng) if kind == "person" else rng.choice(common_words()).capitalize()
        if not held_out(word):
            return word
    return invented(rng, kind, split)


def pick(rng: random.Random, items: Sequence[T], count: int) -> list[T]:
    """``count`` different items (fewer if there are fewer)."""
    return rng.sample(list(items), min(count, len(items)))


def offered(rng: random.Random, needed: Sequence[str] = ()) -> list[str]:
    """Tools on offer: all six in their usual order or shuffled, or a subset that has ``needed``."""
    roll = rng.random()
    if roll < 0.4:
        return list(ALL_TOOLS)
    others = [t for t in ALL_TOOLS if t not in needed]
    kept = len(others) if roll < 0.7 else rng.randrange(len(others) + 1)
    chosen = [*needed, *pick(rng, others, kept)]
    rng.shuffle(chosen)
    return chosen
