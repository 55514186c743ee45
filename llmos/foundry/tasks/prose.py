"""Pages in ordinary sentences: the answer is the sentence that holds it, word for word, and its page."""

from __future__ import annotations

import random
from dataclasses import dataclass

from llmos.formats import NOT_IN_PAGES, format_page, format_user_turn
from llmos.foundry.tasks.base import (
    Conversation,
    Split,
    Turn,
    assistant,
    common_words,
    held_out,
    made_up,
    phrases,
    pick,
    user,
)
from llmos.foundry.tasks.pages import heading, origin
from llmos.foundry.tasks.relations import value
from llmos.foundry.tasks.topics import NOUNS, VERBS
from llmos.foundry.tasks.wordings import wrapped

_QUALITIES = [
    "old",
    "new",
    "small",
    "big",
    "red",
    "blue",
    "green",
    "white",
    "black",
    "wooden",
    "heavy",
    "broken",
    "second",
    "last",
    "spare",
    "wet",
    "quiet",
    "long",
    "round",
]
_WHERE = (
    "in the kitchen", "behind the house", "in the garden", "near the station", "at the harbour", "in the cellar", "by the river",
    "on the roof", "under the bridge", "in the library", "next to the church", "at the market", "in the office", "on the table",
    "in the north of the town", "above the door", "in room {n}", "on floor {n}", "at the school", "in the old tower",
)  # fmt: skip
_WHEN = (
    "on {d}", "in {m}", "in {y}", "last week", "every morning", "at noon", "at {h} o'clock", "in the summer of {y}",
    "twice a week", "before the winter", "after the storm", "on the first of {m}", "every {d}", "{n} years ago",
)  # fmt: skip
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
)
_ASIDES = (
    "Nobody knows why.", "It was a good decision.", "The neighbours were surprised.", "More about this later.", "It took a while.",
    "That was not planned.", "Everyone agreed.", "We should talk about it again.", "There is a photo of it.", "This is important.",
)  # fmt: skip
ASK = (
    "{q}", "{q}", "{q}", "{q}", "According to my notes: {q}", "Please tell me: {q}", "I want to know: {q}", "From the pages: {q}",
    "Can you tell me? {q}", "{q} Look at the pages.", "One more thing: {q}", "{q} Please answer from my files.",
)  # fmt: skip


@dataclass(frozen=True)
class Fact:
    """One sentence and the questions that it answers.

    Attributes:
        sentence: as it stands on a page.
        questions: each is answered by the sentence alone.
        value: the part that is asked for.
    """

    sentence: str
    questions: tuple[str, ...]
    value: str


def _thing(rng: random.Random) -> str:
    noun = rng.choice(NOUNS) if rng.random() < 0.5 else rng.choice(common_words())
    roll = rng.random()
    if roll < 0.4:
        return f"the {noun}"
    if roll < 0.75:
        return f"the {rng.choice(_QUALITIES)} {noun}"
    return f"the {noun} {rng.choice(('of the school', 'by the gate', 'of the town', 'for the guests', 'in the hall'))}"


def _who(rng: random.Random, split: Split) -> str:
    name = value(rng, "person", split)
    return rng.choice((name, name, f"Mr. {name}", f"Mrs. {name}", f"Doctor {name}"))


def _filled(rng: random.Random, text: str) -> str:
    return text.format(
        n=rng.randrange(2, 90),
        d=rng.choice(("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")),
        m=rng.choice(_MONTHS),
        y=rng.randrange(1800, 2025),
        h=rng.randrange(1, 13),
    )


def fact(rng: random.Random, split: Split) -> Fact:
    """A made-up sentence of one of many builds."""
    thing, who, verb = _thing(rng), _who(rng, split), rng.choice(VERBS)
    base, past = verb
    where, when = _filled(rng, rng.choice(_WHERE)), _filled(rng, rng.choice(_WHEN))
    big = thing[0].upper() + thing[1:]
    number = rng.choice((rng.randrange(2, 100), rng.randrange(100, 5000)))
    build = rng.randrange(11)
    asked: tuple[str, ...]
    if build == 0:
        return Fact(f"{who} {past} {thing} {when}.", (f"Who {past} {thing}?",), who)
    if build == 1:
        return Fact(
            f"{who} {past} {thing} {when}.", (f"What did {who} do {when}?", f"What did {who} {base}?"), thing
        )
    if build == 2:
        asked = (f"Who {past} {thing}?", f"By whom was {thing} {past}?", f"who was it that {past} {thing}")
        return Fact(f"{big} was {past} by {who}.", asked, who)
    if build == 3:
        asked = (f"When was {thing} {past}?", f"Do you know when {thing} was {past}?")
        return Fact(f"{big} was {past} {when}.", asked, when)
    if build == 4:
        asked = (f"Where is {thing}?", f"Where can I find {thing}?", f"where do we keep {thing}")
        return Fact(f"{big} is {where}.", asked, where)
    if build == 5:
        money = rng.choice(("euros", "dollars", "coins", "pounds"))
        asked = (f"How much does {thing} cost?", f"What does {thing} cost?", f"What is the price of {thing}?")
        return Fact(f"{big} costs {number} {money}.", asked, str(number))
    if build == 6:
        asked = (f"Where did {who} {base} {thing}?", f"Where was {thing} {past}?")
        return Fact(f"{who} {past} {thing} {where}.", asked, where)
    if build == 7:
        name = made_up(rng, "thing", split)
        asked = (f"What is {thing} called?", f"What is the name of {thing}?", f"What do people call {thing}?")
        return Fact(f"{big} is called {name}.", asked, name)
    if build == 8:
        kind = rng.choice(("colour", "material", "food", "animal"))
        what = value(rng, kind, split)
        verb_form, asked_form = rng.choice(
            (("needs", "need"), ("shows", "show"), ("has", "have"), ("smells of", "smell of"))
        )
        return Fact(f"{big} {verb_form} {what}.", (f"What does {thing} {asked_form}?",), what)
    if build == 9:
        part = rng.choice(NOUNS)
        return Fact(f"{big} has {number} {part}s.", (f"How many {part}s does {thing} have?",), str(number))
    opens = rng.choice(("opens", "closes", "starts", "ends", "arrives", "leaves"))
    asked = (f"When does {thing} {opens.rstrip('s')}?", f"At what time does {thing} {opens.rstrip('s')}?")
    return Fact(f"{big} {opens} {when}.", asked, when)


class ProsePages:
    """Some pages of made-up sentences.

    Attributes:
        pages: formatted, numbered from 1.
        facts: every fact with the number of its page.
    """

    def __init__(self, rng: random.Random, split: Split) -> None:
        self.pages: list[str] = []
        self.facts: list[tuple[Fact, int]] = []
        asked: set[str] = set()
        for number in range(1, rng.choice((1, 1, 2, 2, 3, 4)) + 1):
            sentences: list[str] = []
            for _ in range(rng.randrange(1, 6)):
                made = fact(rng, split)
                # Test sentences differ from those of training by their hash; no two facts of a prompt answer one question.
                if held_out(made.sentence, 6) != (split is not Split.TRAIN) or asked & set(made.questions):
                    continue
                asked |= set(made.questions)
                sentences.append(made.sentence)
                self.facts.append((made, number))
            for _ in range(rng.randrange(0, 3) + (not sentences)):
                sentences.insert(rng.randrange(len(sentences) + 1), rng.choice(_ASIDES))
            title = heading(rng, rng.choice(NOUNS).capitalize())
            self.pages.append(
                format_page(number, origin(rng), title, (" " if rng.random() < 0.85 else "\n").join(sentences))
            )


def answer_from_prose(rng: random.Random, split: Split) -> Conversation:
    """A question that one sentence answers."""
    book = ProsePages(rng, split)
    while not book.facts:
        book = ProsePages(rng, split)
    found, number = rng.choice(book.facts)
    asked = rng.choice(phrases(ASK, split)).replace("{q}", rng.choice(found.questions))
    reply = f"{found.sentence} [{number}]"
    return Conversation(
        [user(format_user_turn(asked, book.pages)), assistant(reply)],
        kind="pages",
        answer=found.value,
        options={"page": number, "reply": reply, "pages": book.pages, "question": asked},
    )


def absent_from_prose(rng: random.Random, split: Split) -> Conversation:
    """A question of the same kinds that no sentence answers."""
    book = ProsePages(rng, split)
    known = {q for f, _ in book.facts for q in f.questions}
    other = fact(rng, split)
    while known & set(other.questions):
        other = fact(rng, split)
    asked = rng.choice(phrases(ASK, split)).replace("{q}", rng.choice(other.questions))
    return Conversation(
        [user(format_user_turn(asked, book.pages)), assistant(NOT_IN_PAGES)],
        kind="absent",
        answer=NOT_IN_PAGES,
        options={"reply": NOT_IN_PAGES, "pages": book.pages, "question": asked},
    )


def several_prose_questions(rng: random.Random, split: Split) -> Conversation:
    """Pages once, then some questions about them, a fifth of them without an answer there."""
    book = ProsePages(rng, split)
    while len(book.facts) < 2:
        book = ProsePages(rng, split)
    known = {q for f, _ in book.facts for q in f.questions}
    turns: list[Turn] = []
    for found, number in pick(rng, book.facts, rng.choice((2, 3, 4, 5))):
        wanted, reply = found, f"{found.sentence} [{number}]"
        if rng.random() < 0.2:
            other = fact(rng, split)
            if not known & set(other.questions):
                wanted, reply = other, NOT_IN_PAGES
        asked = rng.choice(phrases(ASK, split)).replace("{q}", rng.choice(wanted.questions))
        if split is Split.TRAIN and rng.random() < 0.4:
            asked = wrapped(rng, rng.choice(wanted.questions))
        turns += [user(asked if turns else format_user_turn(asked, book.pages)), assistant(reply)]
    return Conversation(turns, kind="pages_several")
