"""Answers from pages: find the statement among distractors, repeat it, cite its page, or abstain."""

from __future__ import annotations

import random

from llmos.formats import NOT_IN_PAGES, format_page, format_user_turn
from llmos.foundry.tasks.base import Conversation, Split, Turn, assistant, made_up, phrases, pick, user
from llmos.foundry.tasks.open_relations import improvised
from llmos.foundry.tasks.relations import Relation, relations, value
from llmos.foundry.tasks.topics import NOUNS
from llmos.foundry.tasks.wordings import asked_for, wrapped

_FOLDERS = ("notes", "docs", "travel", "work", "archive", "wiki", "home", "projects", "library", "reports")
_FILES = (
    "list",
    "notes",
    "guide",
    "summary",
    "facts",
    "index",
    "report",
    "plan",
    "people",
    "places",
    "log",
    "draft",
)
_SUFFIXES = (".md", ".txt", ".pdf", ".docx", ".html")
_HEADINGS = (
    "Overview",
    "History",
    "Details",
    "About",
    "Facts",
    "People",
    "Notes",
    "Summary",
    "Background",
    "Figures",
)
_FILLER = (
    "It is well known in the area.",
    "Many visitors come every summer.",
    "More details will be added later.",
    "The weather there is often mild.",
    "This was written down last spring.",
    "Nothing else is recorded here.",
    "People speak of it with pride.",
    "The rest of the list is missing.",
    "There are several stories about this.",
    "A longer report can be found elsewhere.",
    "The figures were checked twice.",
    "Some of the older papers were lost.",
    "It has changed a great deal over the years.",
    "Everyone was pleased with the result.",
    "See the next page for more.",
)


def origin(rng: random.Random) -> str:
    """A made-up file path or address."""
    name = rng.choice(_FILES)
    if rng.random() < 0.25:
        return f"https://{rng.choice(_FOLDERS)}.example.org/{name}"
    path = f"{rng.choice(_FOLDERS)}/{name}{rng.choice(_SUFFIXES)}"
    return path if rng.random() < 0.7 else f"{name}{rng.choice(_SUFFIXES)}"


def heading(rng: random.Random, subject: str) -> str:
    """A heading, sometimes a path of two, sometimes none."""
    roll = rng.random()
    if roll < 0.2:
        return ""
    if roll < 0.6:
        return subject if rng.random() < 0.5 else rng.choice(_HEADINGS)
    return f"{rng.choice(_HEADINGS)} > {subject}"


def subject_name(rng: random.Random, split: Split) -> str:
    """Who or what a page is about; in training a third are of several words, as "the Halm tower"."""
    name = made_up(rng, rng.choice(("person", "place", "thing")), split)
    if split is Split.TRAIN and rng.random() < 0.35:
        noun = rng.choice(NOUNS)
        form = rng.choice(
            (
                "the {s} {n}",
                "the {s} {n}",
                "the {s} {n}",
                "{s} {n}",
                "{N} {s}",
                "the {n} of {s}",
                "the {n} in {s}",
            )
        )
        return form.format(s=name, n=noun, N=noun.capitalize())
    return name


def _started(text: str) -> str:
    return text[0].upper() + text[1:]


def stated(wording: str, subject: str, what: str) -> str:
    """A statement, with a capital where a subject of several words ("the Halm tower") begins it."""
    sentence = wording.format(s=subject, v=what)
    return _started(sentence) if wording.startswith("{s}") else sentence


class Notebook:
    """A set of made-up pages and the facts in them.

    Attributes:
        pages: formatted pages, numbered from 1.
        facts: ``(relation, subject, value, page number)``.
        known: the relations that the pages draw from.
    """

    def __init__(self, rng: random.Random, split: Split, count: int, facts_a_page: int) -> None:
        known = relations(split)
        if split is Split.TRAIN:
            known = pick(rng, known, 25) + [improvised(rng) for _ in range(30)]
        self.known = known
        self.pages: list[str] = []
        self.facts: list[tuple[Relation, str, str, int]] = []
        names: list[str] = []
        while len(names) < count:
            name = subject_name(rng, split)
            if name not in names:
                names.append(name)
        shared = pick(rng, known, facts_a_page)
        for number, name in enumerate(names, start=1):
            # Half the pages state the same relations for other subjects: the distractors that matter.
            chosen = shared if rng.random() < 0.5 else pick(rng, known, facts_a_page)
            # A page does not state two relations that read alike ("was born in" a place and a year).
            sentences: list[str] = []
            stems: set[str] = set()
            for relation in chosen[: rng.randrange(1, facts_a_page + 1)]:
                stem = relation.statements[0].split("{v}")[0]
                if stem in stems:
                    continue
                stems.add(stem)
                what = value(rng, relation.kind, split)
                wording = rng.choice(relation.statements)
                sentences.append(stated(wording, name, what))
                self.facts.append((relation, name, what, number))
            for _ in range(rng.randrange(0, 3)):
                sentences.insert(rng.randrange(len(sentences) + 1), rng.choice(_FILLER))
            joiner = "\n" if rng.random() < 0.15 else " "
            self.pages.append(
                format_page(number, origin(rng), heading(rng, _started(name)), joiner.join(sentences))
            )


def canonical(relation: Relation, subject: str, what: str) -> str:
    """The sentence with which a fact is answered."""
    return stated(relation.statements[0], subject, what)


def question(rng: random.Random, relation: Relation, subject: str, split: Split) -> str:
    """A question for a fact; half of those in training are worded anew."""
    if split is Split.TRAIN and rng.random() < 0.5:
        if len(relation.statements) > 1:
            return asked_for(rng, relation.name, subject)
        return wrapped(rng, relation.questions[0].format(s=subject))
    return rng.choice(phrases(relation.questions, split)).format(s=subject)


def answer_from_pages(rng: random.Random, split: Split, pages: int | None = None) -> Conversation:
    """A question whose answer one of the pages states."""
    # A few long prompts keep the far end of the window in practice.
    count = pages or (rng.choice((1, 1, 2, 2, 3, 3, 4, 5)) if rng.random() < 0.98 else rng.randrange(7, 12))
    book = Notebook(rng, split, count, rng.choice((1, 2, 3, 4)))
    relation, subject, what, number = rng.choice(book.facts)
    asked = question(rng, relation, subject, split)
    reply = f"{canonical(relation, subject, what)} [{number}]"
    return Conversation(
        [user(format_user_turn(asked, book.pages)), assistant(reply)],
        kind="pages",
        answer=what,
        options={"page": number, "reply": reply, "pages": book.pages, "question": asked},
    )


def absent_from_pages(rng: random.Random, split: Split) -> Conversation:
    """A question that the pages leave open: another subject, or a relation that is not stated."""
    book = Notebook(rng, split, rng.choice((1, 1, 2, 2, 3, 3, 4)), rng.choice((1, 2, 3, 4)))
    stated = {(r.name, s) for r, s, _, _ in book.facts}
    while True:
        if rng.random() < 0.5:
            relation = rng.choice([r for r, _, _, _ in book.facts])
            subject = subject_name(rng, split)
        else:
            relation, subject = rng.choice(book.known), rng.choice([s for _, s, _, _ in book.facts])
        if (relation.name, subject) not in stated:
            break
    asked = question(rng, relation, subject, split)
    # What is answered wrongly: a value of the pages to the question asked, or what a page does state.
    wrong = [f"{canonical(relation, subject, what)} [{number}]" for _, _, what, number in book.facts]
    wrong += [f"{canonical(r, name, what)} [{number}]" for r, name, what, number in book.facts]
    return Conversation(
        [user(format_user_turn(asked, book.pages)), assistant(NOT_IN_PAGES)],
        kind="absent",
        answer=NOT_IN_PAGES,
        options={"reply": NOT_IN_PAGES, "pages": book.pages, "question": asked, "wrong": wrong},
    )


def several_questions(rng: random.Random, split: Split) -> Conversation:
    """Pages once, then two to five questions about them, some of them without an answer there.

    Reading pages costs most of the tokens, so more is learned from each when more is asked.
    """
    book = Notebook(rng, split, rng.choice((2, 2, 3, 3, 4)), rng.choice((2, 3, 4)))
    stated = {(r.name, s) for r, s, _, _ in book.facts}
    turns: list[Turn] = []
    for relation, subject, what, number in pick(rng, book.facts, rng.choice((2, 3, 3, 4, 5))):
        reply = f"{canonical(relation, subject, what)} [{number}]"
        if rng.random() < 0.3:
            # Half of them ask for a subject that no page names, by a relation that the pages do state.
            other, name = relation, subject_name(rng, split)
            if rng.random() < 0.5:
                other, name = rng.choice(book.known), rng.choice([s for _, s, _, _ in book.facts])
            if (other.name, name) not in stated:
                relation, subject, reply = other, name, NOT_IN_PAGES
        asked = question(rng, relation, subject, split)
        turns += [user(asked if turns else format_user_turn(asked, book.pages)), assistant(reply)]
    return Conversation(turns, kind="pages_several")


_WHICH = (
    "Which page speaks of {s}?",
    "On which page is {s}?",
    "Where do the pages mention {s}?",
    "which page is about {s}",
    "Where is {s} written?",
    "What is the number of the page on {s}?",
)


def which_page(rng: random.Random, split: Split) -> Conversation:
    """Pages once, then where some subjects stand: the shortest practice of citing."""
    book = Notebook(rng, split, rng.choice((2, 3, 4, 5, 6)), rng.choice((1, 1, 1, 2)))
    where = {subject: number for _, subject, _, number in book.facts}
    turns: list[Turn] = []
    for subject in pick(rng, list(where), rng.choice((3, 4, 5))):
        asked, reply = rng.choice(_WHICH), f"{_started(subject)} is on page [{where[subject]}]"
        if rng.random() < 0.15:
            subject, reply = subject_name(rng, split), NOT_IN_PAGES
            if subject in where:
                continue
        asked = asked.format(s=subject)
        turns += [user(asked if turns else format_user_turn(asked, book.pages)), assistant(reply)]
    if not turns:
        return which_page(rng, split)
    return Conversation(turns, kind="which_page")
