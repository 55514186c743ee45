"""Seeded dialogues for the paging benchmark: facts told, filler between, questions asked later."""

from __future__ import annotations

import random
from dataclasses import dataclass

#: (how it is told, how it is asked in the same words, how it is asked in other words)
_FORMS = (
    ("My locker code at the {place} is {value}.", "What is my locker code at the {place}?",
     "Which digits open my storage box in the {place}?"),
    ("The spare key of the {place} lies under the {thing}.", "Where does the spare key of the {place} lie?",
     "How can I get into the {place} if I lose mine?"),
    ("My cousin {name} works as a {job}.", "What does my cousin {name} work as?",
     "How does {name} from my family earn a living?"),
    ("The meeting with {name} about the {thing} is on {day}.", "When is the meeting with {name} about the {thing}?",
     "Which day do I see {name} to talk over the {thing}?"),
    ("{name} is allergic to {food}.", "What is {name} allergic to?", "What must I never cook for {name}?"),
    ("I paid {value} crowns for the {thing}.", "How many crowns did I pay for the {thing}?",
     "What was the price of my {thing}?"),
    ("The wifi password of the {place} is {word}{value}.", "What is the wifi password of the {place}?",
     "How do I get online in the {place}?"),
    ("My neighbour {name} drives a {colour} van.", "What does my neighbour {name} drive?",
     "Which vehicle belongs to {name} next door?"),
    ("The doctor said that {name} should take {food} drops at {hour}.", "When should {name} take {food} drops?",
     "At what time is the medicine with {food} due for {name}?"),
    ("We named the {colour} boat {word}.", "What did we name the {colour} boat?",
     "How is our {colour} vessel called?"),
)  # fmt: skip

_FILL = {
    "place": ["gym", "library", "harbour", "office", "cabin", "school", "workshop", "garage", "attic", "station"],
    "thing": ["lamp", "carpet", "bicycle", "piano", "kettle", "tent", "ladder", "mirror", "clock", "drill"],
    "name": ["Orla", "Bram", "Selma", "Tarek", "Imre", "Nadia", "Jonas", "Freya", "Luca", "Mirela", "Pavel", "Runa"],
    "job": ["baker", "pilot", "nurse", "welder", "tailor", "judge", "diver", "florist"],
    "day": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"],
    "food": ["peanuts", "honey", "shrimp", "garlic", "mustard", "ginger", "almonds", "mint"],
    "colour": ["green", "white", "orange", "purple", "silver", "brown"],
    "word": ["heron", "maple", "cobalt", "ember", "juniper", "quartz", "saffron", "willow"],
    "hour": ["six", "seven", "eight", "nine", "ten", "eleven"],
}  # fmt: skip

_TOPICS = (
    "rivers", "volcanoes", "old maps", "chess", "bread", "the moon", "violins", "bridges", "ants", "sailing", "glass",
    "trains", "paper", "wool", "storms", "castles", "salt", "owls", "clocks", "gardens",
)  # fmt: skip
_TALK = (
    "Tell me something about {topic}.", "I read a long article about {topic} today and found it rather dull.",
    "What do you think of {topic}?", "My friends talked about {topic} all evening.", "Thanks a lot!", "Good morning.",
    "Is there a book on {topic} that you like?", "I walked home in the rain and thought of {topic}.",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fact:
    """A planted fact: how it is told, and two ways to ask for it."""

    told: str
    asked: str
    paraphrase: str


def make_facts(count: int, rng: random.Random) -> list[Fact]:
    """Facts of which no two are asked alike."""
    facts: list[Fact] = []
    seen: set[str] = set()
    while len(facts) < count:
        form = _FORMS[rng.randrange(len(_FORMS))]
        values = {key: rng.choice(options) for key, options in _FILL.items()}
        values["value"] = str(rng.randint(100, 9999))
        told, asked, paraphrase = (text.format(**values) for text in form)
        if asked not in seen and paraphrase not in seen:
            seen |= {asked, paraphrase}
            facts.append(Fact(told, asked, paraphrase))
    return facts


def changed(fact: Fact, rng: random.Random) -> Fact | None:
    """The same fact with another value, or None when it has no number to change."""
    words = fact.told.split()
    for place, word in enumerate(words):
        digits = "".join(letter for letter in word if letter.isdigit())
        if digits:
            words[place] = word.replace(digits, str(rng.randint(10_000, 99_999)))
            return Fact(" ".join(words), fact.asked, fact.paraphrase)
    return None


def filler(rng: random.Random) -> str:
    """A turn that tells no planted fact."""
    return rng.choice(_TALK).format(topic=rng.choice(_TOPICS))


def never_told(rng: random.Random) -> str:
    """A question for something that was never said."""
    return rng.choice(
        ["What is the name of my dentist?", "Where did I park in Lisbon?", "How tall is my uncle's barn?",
         "Which opera did we see last spring?", "What does my boat insurance cost?"]
    )  # fmt: skip
