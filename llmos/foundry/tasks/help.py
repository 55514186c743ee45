"""Questions about LLMOS, about the model itself and about language models (``help.toml``)."""

from __future__ import annotations

import random
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from llmos.foundry.tasks.base import Conversation, Split, assistant, phrases, user

_WHAT = (
    "What is {x}?",
    "What's {x}?",
    "what is {x}",
    "Explain {x}.",
    "Tell me about {x}.",
    "What does {x} mean?",
    "Can you explain {x}?",
    "What do you know about {x}?",
    "Define {x}.",
    "Please explain {x}.",
    "What do you mean by {x}?",
    "Describe {x}.",
    "I do not understand {x}.",
    "In short, what is {x}?",
    "What is meant by {x}?",
    "Could you tell me what {x} is?",
    "I want to know about {x}.",
    "how would you explain {x}",
    "Give me a short explanation of {x}.",
    "What exactly is {x}?",
    "Do you know what {x} is?",
    "{x}?",
    "Say something about {x}.",
    "Help me understand {x}.",
)
_HOW = (
    "How do I {x}?",
    "How can I {x}?",
    "how do i {x}",
    "How to {x}?",
    "I want to {x}.",
    "Can I {x}?",
    "What do I do to {x}?",
    "Tell me how to {x}.",
    "What is the way to {x}?",
    "Is there a way to {x}?",
    "Please tell me how I can {x}.",
    "how can one {x}",
    "Show me how to {x}.",
    "What is the command to {x}?",
    "I would like to {x}.",
    "How does one {x}?",
    "Explain how to {x}.",
    "I need to {x}. How?",
    "Which key or command lets me {x}?",
    "Could you tell me how to {x}?",
    "What must I do to {x}?",
    "How might I {x}?",
    "Where can I {x}?",
    "I don't know how to {x}.",
)
_LEADS = ("", "", "", "", "", "Please: ", "Hi. ", "Hello! ", "One question: ", "Hey, ", "Okay. ", "LLMOS, ")
_TAILS = (
    "",
    "",
    "",
    "",
    "",
    "",
    " Please.",
    " Thanks.",
    " Thank you!",
    " I am new here.",
    " And how?",
    " And why?",
    " How exactly?",
    " Be brief.",
)


_FIRST = frozenset({"who", "abilities", "help", "example", "start", "limits", "llmos"})


@dataclass(frozen=True)
class Intent:
    """One thing that people ask for, and the answer.

    Attributes:
        id: short name.
        kind: ``what``, ``how`` or ``own`` (see ``help.toml``).
        about: phrases that fit into the frames of the kind.
        ask: whole questions.
        answer: what the model says.
    """

    id: str
    kind: str
    about: tuple[str, ...]
    ask: tuple[str, ...]
    answer: str


@cache
def intents() -> tuple[Intent, ...]:
    """All intents of ``help.toml``."""
    raw = tomllib.loads(files("llmos.foundry.tasks").joinpath("help.toml").read_text(encoding="utf-8"))
    return tuple(
        Intent(i["id"], i["kind"], tuple(i.get("about", ())), tuple(i.get("ask", ())), i["answer"])
        for i in raw["intent"]
    )


def questions(intent: Intent, split: Split) -> list[str]:
    """All questions of an intent that a split may use, without leads and tails.

    A question is new when its frame or its phrase is new; training sees neither.
    """
    frames = _WHAT if intent.kind == "what" else _HOW
    if split in (Split.TRAIN, Split.NAMES):
        found = list(phrases(intent.ask, split)) if intent.ask else []
        for about in phrases(intent.about, split) if intent.about else ():
            found += [f.replace("{x}", about) for f in phrases(frames, split)]
        return found
    # Lists that are too short for a held-out part give none here.
    found = [q for i, q in enumerate(intent.ask) if i % 6 == 5]
    new_about = [a for i, a in enumerate(intent.about) if i % 6 == 5]
    new_frames = phrases(frames, split)
    if intent.about:
        found += [f.replace("{x}", a) for f in new_frames for a in intent.about]
        found += [f.replace("{x}", a) for f in phrases(frames, Split.TRAIN) for a in new_about]
    # A question may arise in two ways; what training can show is not new.
    trained = set(questions(intent, Split.TRAIN))
    return [q for q in found if q not in trained]


def _start_small(text: str) -> str:
    return text[:1].lower() + text[1:] if text[1:2].islower() and not text.startswith("I ") else text


def ask_help(rng: random.Random, split: Split) -> Conversation:
    """One question about LLMOS or language models."""
    known = intents()
    if split is Split.TRAIN:  # what newcomers ask first is practised most
        intent = rng.choices(known, [5 if i.id in _FIRST else 1 for i in known])[0]
    else:
        intent = rng.choice(known)
    # Whole questions are as likely as framed ones, although the frames give far more of them.
    pool = questions(intent, split)
    whole = [q for q in pool if q in intent.ask]
    framed = [q for q in pool if q not in intent.ask]
    asked = rng.choice(whole if whole and (not framed or rng.random() < 0.5) else framed)
    if split is Split.TRAIN:
        if asked in whole and rng.random() < 0.3:
            asked = rng.choice(whole[:6])  # the lists begin with the usual wordings
        roll = rng.random()
        lead = rng.choice(_LEADS)
        if lead:
            asked = lead + (_start_small(asked) if lead.endswith((", ", ": ")) else asked)
        if roll < 0.12:
            asked = asked.lower()
        elif roll < 0.22:
            asked = asked.rstrip(".?!")
        elif roll < 0.3:
            asked += rng.choice(_TAILS)
    return Conversation(
        [user(asked), assistant(intent.answer)],
        kind="help",
        answer=intent.answer,
        options={"intent": intent.id},
    )
