"""Pages of text that people wrote, from the corpus of the build: the answer is the sentence that holds it.

Made-up pages teach to copy, but only sentences of a few hundred builds; a note that somebody keeps on
disk has none of them. These pages are windows of the corpus' training passages. Nothing of the corpus
gets into the program: without a corpus folder these conversations are left out of the mix.
"""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass
from pathlib import Path

from llmos.formats import NOT_IN_PAGES, format_page, format_user_turn
from llmos.foundry.tasks.base import Conversation, Split, Turn, assistant, phrases, user
from llmos.foundry.tasks.pages import heading, origin
from llmos.foundry.tasks.prose import ASK
from llmos.foundry.tasks.text_questions import content_words, parse, question
from llmos.foundry.tasks.topics import NOUNS
from llmos.foundry.tasks.wordings import wrapped

_SENTENCE_END = re.compile(r"(?<=[.!])(?<!Mr\.)(?<!Dr\.)(?<!St\.)(?<!Mrs\.)\s+(?=[A-Z])")
_GOOD = re.compile(r"[A-Z][\w ,;'%$°-]+[.!]")
_TITLES = ("{s}", "{s}", "About {s}", "Notes on {s}", "More about {s}", "{s}, notes", "{s} in short")


def sentences_of(text: str) -> list[str]:
    """The plain sentences of a passage: 4 to 26 words without quotation, brackets or markup."""
    found = (s.strip() for s in _SENTENCE_END.split(" ".join(text.split())))
    return [s for s in found if 4 <= len(s.split()) <= 26 and _GOOD.fullmatch(s)]


@dataclass(frozen=True)
class _Window:
    """A page and what can be asked about it.

    Attributes:
        page: as a prompt holds it.
        sentences: of the page.
        facts: (question, sentence that answers it, number of the page).
    """

    page: str
    sentences: list[str]
    facts: list[tuple[str, str, int]]


class TextPages:
    """Conversations about windows of a corpus' passages.

    Args:
        texts: passages; those without enough plain sentences are passed over.
    """

    def __init__(self, texts: list[str]) -> None:
        self._texts: list[str] = []
        self._sums: list[float] = []
        for text in texts:
            sentences = sentences_of(text)
            if len(sentences) >= 4 and any(map(parse, sentences)):
                self._texts.append(text)
                # Long passages hold more windows, but a few books must not drown the many short texts.
                self._sums.append((self._sums[-1] if self._sums else 0.0) + len(sentences) ** 0.5)

    @classmethod
    def load(cls, passages: Path, limit: int = 12_000) -> TextPages | None:
        """The passages that the funnel wrote for training, or None where there are none.

        Args:
            passages: file of the data stage, one JSON object a line.
            limit: passages with text enough that are taken, chosen by chance.
        """
        if not passages.exists():
            return None
        rng, texts = random.Random("text pages"), []
        with passages.open(encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                if not row["held_out"] and len(row["text"]) > 250:
                    texts.append(row["text"])
        made = cls(rng.sample(texts, min(len(texts), limit)))
        return made if made._texts else None

    def _window(self, rng: random.Random, number: int) -> _Window:
        text = rng.choices(self._texts, cum_weights=self._sums)[0]
        sentences = sentences_of(text)
        start = rng.randrange(max(1, len(sentences) - 2))
        chosen = sentences[start : start + rng.choice((1, 2, 2, 3, 3, 4, 5, 6))]
        facts: list[tuple[str, str, int]] = []
        title = ""
        if rng.random() < 0.3:  # what it is about stands in the heading alone: "It should stay closed."
            at = rng.randrange(len(chosen))
            said = parse(chosen[at])
            if said and said.base == "" and 1 < len(said.subject.split()) < 6:
                asked = question(rng, chosen[at])
                it = "They" if said.verb in ("are", "were", "have") else "It"
                chosen[at] = f"{it} {said.verb} {said.rest}{chosen[at][-1]}"
                subject = re.sub(r"^(?:the|a|an) ", "", said.subject)
                title = rng.choice(_TITLES).format(s=subject if rng.random() < 0.5 else subject.capitalize())
                title = title[0].upper() + title[1:]
                if asked:
                    facts.append((asked, chosen[at], number))
        for sentence in rng.sample(chosen, len(chosen)):
            if (
                sentence not in (s for _, s, _ in facts)
                and len(facts) < 4
                and (asked := question(rng, sentence))
            ):
                facts.append((asked, sentence, number))
        words = [w for s in chosen for w in content_words(s)]
        topic = rng.choice(words) if words and rng.random() < 0.8 else rng.choice(NOUNS)
        page = format_page(
            number,
            origin(rng),
            title or heading(rng, topic.capitalize()),
            (" " if rng.random() < 0.9 else "\n").join(chosen),
        )
        return _Window(page, chosen, facts)

    def _windows(self, rng: random.Random) -> tuple[list[_Window], list[tuple[str, str, int]]]:
        """One to three pages, and all that can be asked about them: something can."""
        while True:
            windows = [self._window(rng, number) for number in range(1, rng.choice((1, 1, 1, 2, 2, 3)) + 1)]
            if facts := [fact for window in windows for fact in window.facts]:
                return windows, rng.sample(facts, len(facts))

    def _absent(self, rng: random.Random, windows: list[_Window]) -> str:
        """A question to another text that shares at most one word with any sentence of these pages.

        Empty where none was found, as in a corpus of one text.
        """
        for _ in range(40):
            facts = self._window(rng, 1).facts
            if not facts:
                continue
            asked = rng.choice(facts)[0]
            words = {w[:5] for w in content_words(asked)}
            most = max(len(words & {w[:5] for w in content_words(s)}) for w in windows for s in w.sentences)
            if len(words) > 1 and most <= (1 if len(words) > 2 else 0):
                return asked
        return ""

    def conversation(self, rng: random.Random, split: Split) -> Conversation:
        """Pages once, then one to five questions about them, about a quarter of them without an answer there."""
        windows, facts = self._windows(rng)
        pages, turns = [w.page for w in windows], list[Turn]()
        for _ in range(rng.choice((1, 1, 2, 3, 4, 5))):
            if turns and not facts:
                break
            asked, reply = "", NOT_IN_PAGES
            if not facts or rng.random() < 0.26:
                asked = self._absent(rng, windows)
            if not asked:
                if not facts:
                    break
                asked, sentence, number = facts.pop()
                reply = f"{sentence} [{number}]"
            asked = _worded(rng, asked, split)
            turns += [user(asked if turns else format_user_turn(asked, pages)), assistant(reply)]
        return Conversation(turns, kind="text_pages", answer=turns[-1].content)

    def one_question(self, rng: random.Random, split: Split) -> Conversation:
        """Pages and one question, as ``pages`` and ``absent`` tasks are: it can be checked.

        ``options["wrong"]`` holds answers that are sentences of these pages and answer something else.
        """
        windows, facts = self._windows(rng)
        said = [f"{s} [{n}]" for n, w in enumerate(windows, start=1) for s in w.sentences]
        pages = [w.page for w in windows]
        asked = self._absent(rng, windows) if rng.random() < 0.35 else ""
        if asked:
            kind, answer, reply, page = "absent", NOT_IN_PAGES, NOT_IN_PAGES, 0
        else:
            asked, answer, page = facts[0]
            kind, reply = "pages", f"{answer} [{page}]"
        asked = _worded(rng, asked, split)
        wrong = [s for s in said if s != reply]
        options = {"page": page, "reply": reply, "pages": pages, "question": asked, "wrong": wrong}
        return Conversation(
            [user(format_user_turn(asked, pages)), assistant(reply)], kind=kind, answer=answer, options=options
        )


def _worded(rng: random.Random, asked: str, split: Split) -> str:
    """The question as one of many people would write it."""
    form = rng.random()
    if form < 0.25:
        return wrapped(rng, asked)
    if form < 0.45:
        return rng.choice(phrases(ASK, split)).replace("{q}", asked)
    if form < 0.6:
        return asked.lower() if rng.random() < 0.6 else asked.rstrip("?.")
    return asked
