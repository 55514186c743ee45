"""Facts that a person tells in a conversation and asks for later in the same one."""

from __future__ import annotations

import random

from llmos.foundry.tasks.base import Conversation, Split, assistant, call, phrases, result, user
from llmos.foundry.tasks.topics import personal_fact

_TELL = {
    "relative": ("My {a} is called {v}.", "My {a}'s name is {v}.", "the name of my {a} is {v}", "I have a {a} called {v}.",
                 "{v} is the name of my {a}.", "By the way, my {a} is called {v}.", "You should know that my {a} is called {v}."),
    "own": ("My {a} is {v}.", "By the way, my {a} is {v}.", "I want to tell you that my {a} is {v}.", "my {a} is {v}",
            "Just so you know, my {a} is {v}.", "{v} is my {a}.", "You should know that my {a} is {v}."),
}  # fmt: skip
_FACT = {"relative": "Your {a} is called {v}.", "own": "Your {a} is {v}."}
_STATED = {"relative": "my {a} is called {v}", "own": "my {a} is {v}"}
_QUESTION = {
    "relative": ("What is my {a} called?", "What is the name of my {a}?", "What is my {a}'s name?", "Who is my {a}?",
                 "what's my {a} called", "Do you know what my {a} is called?", "Do you remember my {a}'s name?",
                 "Tell me the name of my {a}.", "How is my {a} called?", "What did I say my {a} is called?",
                 "Can you tell me my {a}'s name?", "Which name has my {a}?"),
    "own": ("What is my {a}?", "Do you know my {a}?", "what's my {a}", "Tell me my {a}.", "Do you remember my {a}?",
            "What did I say my {a} is?", "Can you tell me my {a}?", "Which {a} do I have?", "What was my {a}?",
            "And my {a}?", "Please tell me my {a}.", "Say what my {a} is."),
}  # fmt: skip
_REMEMBER = (
    "Remember that {x}.", "Remember: {x}.", "Please remember that {x}.", "Keep in mind that {x}.", "Note that {x}.",
    "Store this: {x}.", "Do not forget that {x}.", "remember that {x}", "Save the fact that {x}.", "Make a note that {x}.",
    "Can you remember that {x}?", "I want you to remember that {x}.", "Write down that {x}.", "Memorise that {x}.",
    "Please keep this: {x}.", "Put into your memory that {x}.", "Add to memory: {x}.", "Please store that {x}.",
    "Save this for later: {x}.", "You must remember that {x}.", "For later: {x}. Please remember.", "Keep the fact that {x}.",
    "Please note for later that {x}.", "Remember this, please: {x}.",
)  # fmt: skip
_NOTED = "I will remember that {x}."
_STORED = (
    "Remembered.",
    "Remembered.",
    "That is remembered already.",
    "OK",
    "Stored.",
    "Noted as fact {n}.",
    "Kept: {x}",
)
_OTHER_FACTS = (
    "the meeting is on {d}", "the key is under the {o}", "the {o} is broken", "the party starts at {n}", "I am allergic to {f}",
    "the code of the door is {n}", "I like {f}", "we need {f}", "the {o} belongs to my neighbour", "the doctor comes on {d}",
    "I parked in row {n}", "the rent is {n}", "I do not eat {f}", "the {o} is in the cellar", "the train leaves at {n}",
)  # fmt: skip


def _turned(fact: str) -> str:
    """A fact as the model says it back to the person."""
    swaps = {"my": "your", "I": "you", "am": "are", "we": "you"}
    return " ".join(swaps.get(word, word) for word in fact.split(" "))


def _any_fact(rng: random.Random, split: Split) -> str:
    if rng.random() < 0.6:
        about, what, form = personal_fact(rng, split)
        return _STATED[form].format(a=about, v=what)
    values = {
        "d": rng.choice(("Monday", "Tuesday", "Wednesday", "Friday", "Sunday")),
        "o": rng.choice(("mat", "lamp", "chair", "printer", "table", "clock", "bike", "stone")),
        "f": rng.choice(("nuts", "milk", "fish", "bread", "plums", "cheese", "eggs")),
        "n": str(rng.randrange(2, 2000)),
    }
    return rng.choice(phrases(_OTHER_FACTS, split)).format(**values)


def _moment(rng: random.Random) -> str:
    """A date and time as the plugin writes it."""
    day = f"20{rng.randrange(24, 32)}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}"
    return f"{day} {rng.randrange(24):02}:{rng.randrange(60):02}"


def told_and_asked(rng: random.Random, split: Split) -> Conversation:
    """Facts told first (one to three), one of them asked for after it."""
    facts: list[tuple[str, str, str]] = []
    while len(facts) < rng.choice((1, 1, 2, 3)):
        fact = personal_fact(rng, split)
        if fact[0] not in [f[0] for f in facts]:
            facts.append(fact)
    turns = []
    for about, what, form in facts:
        turns.append(user(rng.choice(phrases(_TELL[form], split)).format(a=about, v=what)))
        reply = (
            f"Hello, {what}!" if about == "name" else f"I see: {_lower(_FACT[form].format(a=about, v=what))}"
        )
        turns.append(assistant(reply))
    about, what, form = rng.choice(facts)
    turns.append(user(rng.choice(phrases(_QUESTION[form], split)).format(a=about)))
    turns.append(assistant(_FACT[form].format(a=about, v=what)))
    return Conversation(turns, kind="told", answer=what)


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]


def remember(rng: random.Random, split: Split) -> Conversation:
    """An order to keep a fact: one call, then a confirmation."""
    fact = _any_fact(rng, split)
    asked = rng.choice(phrases(_REMEMBER, split)).replace("{x}", fact)
    stored = rng.choice(_STORED).format(x=fact, n=rng.randrange(1, 40))
    return Conversation(
        [user(asked), call("remember", text=fact), result(stored), assistant(_NOTED.format(x=_turned(fact)))],
        tools=["remember"],
        kind="tool",
        answer=fact,
    )


def recall(rng: random.Random, split: Split) -> Conversation:
    """A question about the person that only the memory can answer."""
    about, what, form = personal_fact(rng, split)
    asked = rng.choice(phrases(_QUESTION[form], split)).format(a=about)
    query = f"my {about}"
    stated = _STATED[form].format(a=about, v=what)
    if rng.random() < 0.25:
        found, reply = (
            rng.choice(("Nothing was found.", "Nothing was found.", "Nothing found.", "[]")),
            "I have no note about that.",
        )
    else:
        other = _any_fact(rng, split)
        lines = [stated, other] if rng.random() < 0.5 else [stated]
        rng.shuffle(lines)
        marks = rng.random()
        if marks < 0.6:  # as the plugin writes them
            found = "\n".join(f"{rng.choice(('memory', 'memory', 'user'))}, {_moment(rng)}: {x}" for x in lines)
        else:
            found = "\n".join(
                f"[{i}] memory\n{x}" if marks < 0.8 else f"- {x}" for i, x in enumerate(lines, start=1)
            )
        reply = _FACT[form].format(a=about, v=what)
    return Conversation(
        [user(asked), call("recall", query=query), result(found), assistant(reply)],
        tools=["recall"],
        kind="tool",
        answer=query,
        options={"value": what},
    )
