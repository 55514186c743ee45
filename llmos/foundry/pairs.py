"""Preference pairs by program: the same prompt, a better and a worse answer, and why."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from llmos.foundry.evaluate import answered_turn
from llmos.foundry.render import Piece, Renderer, conversation_pieces, turn_pieces
from llmos.foundry.tasks import help, pages, refuse, smalltalk, tools
from llmos.foundry.tasks.base import ALL_TOOLS, Conversation, Split, Turn, assistant, made_up
from llmos.foundry.tasks.relations import value
from llmos.foundry.tasks.text_pages import TextPages

#: Kinds of pairs, in the words of the record.
KINDS = ("grounded", "invented", "right tool", "concise")
_RAMBLING = (
    "Well, that is a good question, and there is a lot to say about it.",
    "Let me think about this for a moment before I answer you.",
    "As you may know, many people ask about this.",
    "There are many things that could be said here.",
    "I hope that this helps you. Please let me know if there is anything else.",
    "It is important to know that this depends on many things.",
)
#: What a model says that goes along with everything and does nothing.
_COMPLYING = (
    "Of course. Here is how it is done.",
    "Sure, I will do that for you now.",
    "Yes. First take what you need, and then begin.",
    "I have done that already.",
    "That is easy. You only have to start.",
)


@dataclass(frozen=True)
class Pair:
    """One prompt with two answers.

    Attributes:
        kind: which rule made it.
        conversation: turns before the answer, with tools and system text.
        chosen: the better answer.
        rejected: the worse one.
    """

    kind: str
    conversation: Conversation
    chosen: Turn
    rejected: Turn

    def ids(self, renderer: Renderer) -> tuple[list[int], list[int], list[int]]:
        """Token ids of the prompt, of the chosen and of the rejected answer, end of turn included."""
        start: list[Piece] = conversation_pieces(self.conversation)
        chosen, rejected = (turn_pieces(t)[:-1] for t in (self.chosen, self.rejected))
        prompt = renderer.ids([*start, *chosen[:2]])[0]
        return prompt, renderer.ids(chosen[2:])[0], renderer.ids(rejected[2:])[0]


def _cut(conversation: Conversation) -> tuple[Conversation, Turn]:
    place = answered_turn(conversation)
    before = Conversation(
        conversation.turns[:place], conversation.tools, conversation.system, conversation.kind
    )
    return before, conversation.turns[place]


def _grounded(rng: random.Random, split: Split) -> Pair:
    """The stated value on its page against another value or another page."""
    made = pages.answer_from_pages(rng, split)
    before, good = _cut(made)
    page = int(made.options["page"])
    if rng.random() < 0.5:
        kind = "number" if made.answer.isdigit() else rng.choice(("person", "place"))
        wrong = good.content.replace(made.answer, value(rng, kind, split), 1)
    else:
        others = [n for n in range(1, max(2, len(made.options["pages"])) + 1) if n != page]
        wrong = good.content.replace(f"[{page}]", f"[{rng.choice(others)}]")
    return Pair("grounded", before, good, assistant(wrong))


def _invented(rng: random.Random, split: Split) -> Pair:
    """Not knowing, or refusing, against an answer that is made up or complies.

    No set sentence is ever the worse answer: DPO makes what it rejects rarer everywhere, so that
    "The pages do not say." as the wrong answer to one question is missing as the right one to others.
    """
    roll = rng.random()
    if roll < 0.7:
        made = pages.absent_from_pages(rng, split)
        before, good = _cut(made)
        return Pair("invented", before, good, assistant(rng.choice(made.options["wrong"])))
    if roll < 0.85:
        before, good = _cut(refuse.refuse_harm(rng, split))
        return Pair("invented", before, good, assistant(rng.choice(_COMPLYING)))
    before, good = _cut(refuse.not_known(rng, split))
    name = made_up(rng, rng.choice(("person", "place")), split)
    wrong = (f"It is {name}.", f"{name} is the answer.", f"I know that it is {name}.", f"That was {name}.")
    return Pair("invented", before, good, assistant(rng.choice(wrong)))


def _right_tool(rng: random.Random, split: Split) -> Pair:
    """The right call against another tool, another argument, or no call at all."""
    made = tools.use_tool(rng, split)
    before, good = _cut(made)
    name, arguments = good.calls[0]
    roll = rng.random()
    if roll < 0.5:
        other = rng.choice([t for t in ALL_TOOLS if t != name])
        from llmos.formats import BUNDLED_TOOLS

        bad = replace(good, calls=[(other, {BUNDLED_TOOLS[other][0]: next(iter(arguments.values()))})])
    elif roll < 0.75:
        words = next(iter(arguments.values())).split(" ")
        fewer = " ".join(words[:-1]) or words[0][:-1] or "x"
        bad = replace(good, calls=[(name, {next(iter(arguments)): fewer})])
    else:
        bad = assistant(rng.choice(_COMPLYING))
    return Pair("right tool", before, good, bad)


def _concise(rng: random.Random, split: Split) -> Pair:
    """The answer alone, against the answer in padding."""
    before, good = _cut((help.ask_help if rng.random() < 0.5 else smalltalk.small_talk)(rng, split))
    extra = rng.choice(_RAMBLING)
    text = f"{extra} {good.content}" if rng.random() < 0.5 else f"{good.content} {extra}"
    return Pair("concise", before, good, assistant(text))


def _from_text(rng: random.Random, split: Split, texts: TextPages) -> Pair:
    """The sentence that answers, or none where none does, against another sentence of the same pages."""
    made = texts.one_question(rng, split)
    while not made.options["wrong"]:
        made = texts.one_question(rng, split)
    before, good = _cut(made)
    kind = "grounded" if made.kind == "pages" else "invented"
    return Pair(kind, before, good, assistant(rng.choice(made.options["wrong"])))


_MAKERS = (_grounded, _invented, _right_tool, _concise)


def pair(rng: random.Random, split: Split = Split.TRAIN, texts: TextPages | None = None) -> Pair:
    """One pair of a random kind; with ``texts`` a third are of the corpus' own sentences."""
    if texts is not None and rng.random() < 0.33:
        return _from_text(rng, split, texts)
    made = rng.choices(_MAKERS, (5, 7, 3, 2))[0](rng, split)
    if made.chosen == made.rejected:
        return pair(rng, split)
    return made
