"""Which conversations training sees, and how often; several tasks are joined into longer ones."""

from __future__ import annotations

import random

from llmos.formats import DEFAULT_SYSTEM_PROMPT
from llmos.foundry.tasks import arithmetic, help, memory, pages, prose, refuse, smalltalk, tools
from llmos.foundry.tasks.base import ALL_TOOLS, Conversation, Generator, Split, offered
from llmos.foundry.tasks.text_pages import TextPages


def repeated(make: Generator) -> Generator:
    """The same task two to four times in one conversation: the system turn is read only once."""

    def several(rng: random.Random, split: Split) -> Conversation:
        first = make(rng, split)
        turns = list(first.turns)
        for _ in range(rng.choice((1, 1, 2, 3))):
            turns += make(rng, split).turns
        return Conversation(
            turns, list(ALL_TOOLS) if first.tools else [], first.system, f"{first.kind}_several"
        )

    return several


#: Tasks when no tool is on offer, with their weights.
PLAIN: tuple[tuple[Generator, float], ...] = (
    (help.ask_help, 12),
    (repeated(help.ask_help), 12),
    (smalltalk.small_talk, 12),
    (pages.answer_from_pages, 20),
    (pages.absent_from_pages, 17),
    (pages.several_questions, 38),
    (pages.which_page, 8),
    (prose.answer_from_prose, 8),
    (prose.absent_from_prose, 3),
    (prose.several_prose_questions, 14),
    (refuse.not_known, 8),
    (refuse.refuse_harm, 4),
    (arithmetic.sum_by_steps, 10),
    (repeated(arithmetic.sum_by_steps), 9),
    (arithmetic.small_sum, 3),
    (arithmetic.drill, 4),
    (arithmetic.word_problem, 6),
    (repeated(arithmetic.word_problem), 5),
    (arithmetic.direct, 2),
    (memory.told_and_asked, 4),
    (tools.without_tool, 2),
)
#: Tasks when tools are on offer.
WITH_TOOLS: tuple[tuple[Generator, float], ...] = (
    (tools.use_tool, 40),
    (repeated(tools.use_tool), 18),
    (help.ask_help, 9),
    (repeated(help.ask_help), 8),
    (smalltalk.small_talk, 6),
    (pages.answer_from_pages, 7),
    (pages.absent_from_pages, 2),
    (pages.several_questions, 6),
    (prose.answer_from_prose, 2),
    (prose.absent_from_prose, 1),
    (prose.several_prose_questions, 2),
    (refuse.not_known, 6),
    (refuse.refuse_harm, 4),
    (arithmetic.small_sum, 2),
    (arithmetic.word_problem, 2),
    (memory.told_and_asked, 3),
)
#: Share of conversations with tools on offer, and share that joins several tasks.
TOOL_SHARE = 0.34
JOINED_SHARE = 0.15
#: Share of conversations about pages of the corpus' own text, where there is a corpus.
TEXT_SHARE = 0.33
_SYSTEMS = (
    "You are a helpful assistant.",
    "You are LLMOS.",
    "Answer briefly.",
    "",
    "You are LLMOS, a small language model that runs in a terminal. Answer in plain words.",
)


def _draw(rng: random.Random, tasks: tuple[tuple[Generator, float], ...]) -> Generator:
    return rng.choices([t for t, _ in tasks], [w for _, w in tasks])[0]


def conversation(
    rng: random.Random, split: Split = Split.TRAIN, texts: TextPages | None = None
) -> Conversation:
    """One conversation of the mix.

    Args:
        rng: source of chance.
        split: which entities, phrasings and relations.
        texts: the corpus' passages, for questions about text that people wrote.
    """
    written = texts is not None and rng.random() < TEXT_SHARE
    with_tools = rng.random() < (TOOL_SHARE / 3 if written else TOOL_SHARE)
    tasks = WITH_TOOLS if with_tools else PLAIN
    made = texts.conversation(rng, split) if texts and written else _draw(rng, tasks)(rng, split)
    if with_tools and not made.tools:
        made.tools = offered(rng)
    if rng.random() < JOINED_SHARE:
        made = _joined(rng, made, tasks, split)
    # The program sends its own system prompt; a system turn is needed where tools are listed.
    if rng.random() < 0.12:
        made.system = rng.choice(_SYSTEMS)
        if made.tools and not made.system:
            made.system = DEFAULT_SYSTEM_PROMPT
    return made


def _joined(
    rng: random.Random, first: Conversation, tasks: tuple[tuple[Generator, float], ...], split: Split
) -> Conversation:
    """Several tasks in one conversation, with the same tools on offer throughout."""
    turns = list(first.turns)
    on_offer = set(ALL_TOOLS if first.tools else ())
    for _ in range(rng.choice((1, 1, 2, 3))):
        turns += _draw(rng, tasks)(rng, split).turns
    tools_now = first.tools if not on_offer else list(ALL_TOOLS)
    return Conversation(turns, tools_now, first.system, "joined")
