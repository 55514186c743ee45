"""Relations that made-up pages state: each with its kind of subject, kind of value and wordings."""

from __future__ import annotations

import random
from dataclasses import dataclass

from llmos.foundry.tasks.base import Split, made_up

#: Attribute nouns by the kind of value: "The capital of X is Y." These are the bulk of the relations.
_NOUNS: dict[str, str] = {
    "person": "mayor, founder, owner, captain, teacher, director, guide, keeper, leader, author, doctor, chief, "
    "inventor, painter, architect, manager, host, coach, editor, designer, treasurer, secretary, cook, "
    "gardener, judge, pilot, engineer, singer, head nurse, chairman, caretaker, librarian, king, queen",
    "place": "capital, birthplace, home town, main port, largest city, oldest town, destination, headquarters, "
    "nearest station, sister city, base, summer home, training camp, market town, last stop, first stop",
    "number": "population, price, length, height, weight, depth, age, speed, size of the crew, room number, number "
    "of pages, seat count, page count, distance, daily cost, yearly fee, top score, floor number, "
    "number of members, door code, number of rooms, width, temperature, waiting time",
    "year": "founding year, opening year, birth year, year of completion, year of the first race, year of the fire, "
    "year of discovery, closing year",
    "colour": "colour, flag colour, roof colour, door colour, coat colour, badge colour, sail colour, label colour",
    "material": "main material, floor, frame, roof, handle, cover, wall, core",
    "food": "favourite food, national dish, best-known dish, main crop, breakfast, snack, bait, main export",
    "day": "market day, day off, meeting day, cleaning day, delivery day, day of rest, opening day, race day",
    "animal": "mascot, symbol, pet, national animal, guard animal, favourite animal",
    "thing": "password, code name, motto word, brand, ship, nickname, first product, old name, currency, river, "
    "language, newest model, engine, key word, team name, school, company, mountain, lake",
    "job": "job, trade, profession, hobby, first job, main task, subject, sport, instrument",
}

#: Verbs: (statement, question, kind of value). The answer is the statement itself.
_VERBS: tuple[tuple[str, str, str], ...] = (
    ("{s} was built by {v}.", "Who built {s}?", "person"),
    ("{s} was founded by {v}.", "Who founded {s}?", "person"),
    ("{s} was discovered by {v}.", "Who discovered {s}?", "person"),
    ("{s} was painted by {v}.", "Who painted {s}?", "person"),
    ("{s} was written by {v}.", "Who wrote {s}?", "person"),
    ("{s} was designed by {v}.", "Who designed {s}?", "person"),
    ("{s} was repaired by {v}.", "Who repaired {s}?", "person"),
    ("{s} was sold to {v}.", "To whom was {s} sold?", "person"),
    ("{s} is married to {v}.", "Who is {s} married to?", "person"),
    ("{s} works for {v}.", "Who does {s} work for?", "person"),
    ("{s} was taught by {v}.", "Who taught {s}?", "person"),
    ("{s} is led by {v}.", "Who leads {s}?", "person"),
    ("{s} is afraid of {v}.", "What is {s} afraid of?", "animal"),
    ("{s} lives in {v}.", "Where does {s} live?", "place"),
    ("{s} was born in {v}.", "Where was {s} born?", "place"),
    ("{s} lies near {v}.", "Where does {s} lie?", "place"),
    ("{s} is kept in {v}.", "Where is {s} kept?", "place"),
    ("{s} comes from {v}.", "Where does {s} come from?", "place"),
    ("{s} moved to {v}.", "Where did {s} move?", "place"),
    ("{s} was found in {v}.", "Where was {s} found?", "place"),
    ("{s} studied in {v}.", "Where did {s} study?", "place"),
    ("{s} was opened in {v}.", "When was {s} opened?", "year"),
    ("{s} was closed in {v}.", "When was {s} closed?", "year"),
    ("{s} was born in the year {v}.", "In which year was {s} born?", "year"),
    ("{s} was finished in {v}.", "When was {s} finished?", "year"),
    ("{s} is made of {v}.", "What is {s} made of?", "material"),
    ("{s} is covered with {v}.", "What is {s} covered with?", "material"),
    ("{s} costs {v} coins.", "How much does {s} cost?", "number"),
    ("{s} weighs {v} kilograms.", "How much does {s} weigh?", "number"),
    ("{s} is {v} metres high.", "How high is {s}?", "number"),
    ("{s} is {v} kilometres long.", "How long is {s}?", "number"),
    ("{s} is {v} years old.", "How old is {s}?", "number"),
    ("{s} has {v} members.", "How many members does {s} have?", "number"),
    ("{s} has {v} rooms.", "How many rooms does {s} have?", "number"),
    ("{s} employs {v} people.", "How many people does {s} employ?", "number"),
    ("{s} opens on {v}.", "When does {s} open?", "day"),
    ("{s} meets on {v}.", "When does {s} meet?", "day"),
    ("{s} leaves on {v}.", "When does {s} leave?", "day"),
    ("{s} eats {v}.", "What does {s} eat?", "food"),
    ("{s} grows {v}.", "What does {s} grow?", "food"),
    ("{s} sells {v}.", "What does {s} sell?", "food"),
    ("{s} smells of {v}.", "What does {s} smell of?", "food"),
    ("{s} keeps a {v}.", "What does {s} keep?", "animal"),
    ("{s} is painted {v}.", "What colour is {s} painted?", "colour"),
    ("{s} works as a {v}.", "What does {s} work as?", "job"),
    ("{s} runs on {v}.", "What does {s} run on?", "thing"),
    ("{s} is called {v} by friends.", "What do friends call {s}?", "thing"),
    ("{s} plays for {v}.", "Who does {s} play for?", "thing"),
    ("{s} uses {v} every day.", "What does {s} use every day?", "thing"),
    ("{s} is known for {v}.", "What is {s} known for?", "food"),
    ("{s} is protected by {v}.", "What protects {s}?", "thing"),
    ("{s} is named after {v}.", "Who is {s} named after?", "person"),
    ("{s} was bought by {v}.", "Who bought {s}?", "person"),
    ("{s} sits on {v}.", "When does {s} sit?", "day"),
)

_STATE = (
    "The {r} of {s} is {v}.",
    "The {r} of {s} is {v}.",
    "{s}'s {r} is {v}.",
    "{v} is the {r} of {s}.",
)
_ASK = (
    "What is the {r} of {s}?",
    "What is {s}'s {r}?",
    "Tell me the {r} of {s}.",
    "I need the {r} of {s}.",
    "Do you know the {r} of {s}?",
    "Give me the {r} of {s}, please.",
    "According to the pages, what is the {r} of {s}?",
    "Can you find the {r} of {s}?",
    "Please look up the {r} of {s}.",
    "What do the pages give as the {r} of {s}?",
    "Name the {r} of {s}.",
    "{r} of {s}?",
    "Could you tell me {s}'s {r}?",
    "which {r} does {s} have?",
    "what's the {r} of {s}",
    "Say what the {r} of {s} is.",
    "I would like to know the {r} of {s}.",
    "Find {s}'s {r}.",
)
_WRAP = (
    "{q}",
    "{q}",
    "{q}",
    "According to the pages: {q}",
    "Please answer: {q}",
    "Look at the pages. {q}",
    "A question: {q}",
    "From my notes: {q}",
)

_VALUES: dict[str, tuple[str, ...]] = {
    "colour": (
        "red",
        "blue",
        "green",
        "white",
        "black",
        "yellow",
        "purple",
        "orange",
        "brown",
        "grey",
        "pink",
        "silver",
        "gold",
    ),
    "material": (
        "stone",
        "oak",
        "iron",
        "glass",
        "clay",
        "brick",
        "copper",
        "paper",
        "leather",
        "steel",
        "wool",
        "marble",
        "straw",
        "bamboo",
        "tin",
    ),
    "food": (
        "rice",
        "bread",
        "apples",
        "fish",
        "honey",
        "cheese",
        "beans",
        "corn",
        "soup",
        "berries",
        "nuts",
        "eggs",
        "tea",
        "salt",
        "plums",
        "lemons",
        "milk",
        "potatoes",
    ),
    "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "animal": (
        "fox",
        "owl",
        "bear",
        "goat",
        "wolf",
        "horse",
        "crow",
        "cat",
        "dog",
        "snake",
        "turtle",
        "eagle",
        "mouse",
        "lion",
        "seal",
        "bee",
    ),
    "job": (
        "baker",
        "sailor",
        "teacher",
        "farmer",
        "tailor",
        "miner",
        "nurse",
        "smith",
        "painter",
        "hunter",
        "clerk",
        "potter",
        "driver",
        "cook",
    ),
}
_HELD_VALUES = 4  # the last few values of every list are for held-out examples


@dataclass(frozen=True)
class Relation:
    """One relation: how pages state it and how people ask for it.

    Attributes:
        name: the noun, or the statement for a verb.
        kind: kind of value.
        statements: wordings with ``{s}`` and ``{v}``; the first is the one that answers use.
        questions: wordings with ``{s}``.
    """

    name: str
    kind: str
    statements: tuple[str, ...]
    questions: tuple[str, ...]


def noun_relation(noun: str, kind: str) -> Relation:
    """A relation that a noun names: "The capital of X is Y"."""
    return Relation(
        noun, kind, tuple(t.replace("{r}", noun) for t in _STATE), tuple(q.replace("{r}", noun) for q in _ASK)
    )


def verb_relation(statement: str, question: str, kind: str, name: str = "") -> Relation:
    """A relation that one sentence states and one question asks for; ``name`` is the statement if empty."""
    return Relation(name or statement, kind, (statement,), tuple(w.replace("{q}", question) for w in _WRAP))


def _relations() -> list[Relation]:
    nouns = [(noun.strip(), kind) for kind, listed in _NOUNS.items() for noun in listed.split(",")]
    return [noun_relation(*pair) for pair in nouns] + [verb_relation(*verb) for verb in _VERBS]


_ALL = _relations()
#: Every sixth relation never occurs in training.
TRAIN_RELATIONS = [r for i, r in enumerate(_ALL) if i % 6 != 4]
NEW_RELATIONS = [r for i, r in enumerate(_ALL) if i % 6 == 4]
#: Names of the relations that training must never show.
NEW_NAMES = frozenset(r.name for r in NEW_RELATIONS)


def relations(split: Split) -> list[Relation]:
    """The relations of a split."""
    return NEW_RELATIONS if split is Split.RELATIONS else TRAIN_RELATIONS


def value(rng: random.Random, kind: str, split: Split) -> str:
    """A value of a kind, as it stands in a statement."""
    if kind in ("person", "place", "thing"):
        name = made_up(rng, kind, split)
        if kind == "person" and rng.random() < 0.3:
            name += " " + made_up(rng, "person", split)
        return name
    if kind == "number":
        return str(rng.choice((rng.randrange(2, 100), rng.randrange(100, 1000), rng.randrange(1000, 100000))))
    if kind == "year":
        return str(rng.randrange(1500, 2025))
    if kind == "hour":
        return str(rng.randrange(1, 24))
    if kind == "amount":
        return (
            f"{rng.randrange(1, 40)}.{rng.randrange(1, 10)}"
            if rng.random() < 0.2
            else str(rng.randrange(2, 900))
        )
    values = _VALUES[kind]
    return rng.choice(values[:-_HELD_VALUES] if split is Split.TRAIN else values)
