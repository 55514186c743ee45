"""Questions to the loaded model about documents on disk, through the whole path of the program."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmos.types import Citation, Page, PageIn, TextDelta

_OPTIONS = {"temperature": 0.0, "tool_rounds": 0, "max_tokens": 64}


@dataclass(frozen=True, slots=True)
class Answers:
    """What came of the questions, each but the last two as a share of them.

    Attributes:
        brought: a passage that holds the fact came in.
        first: it was the first of them.
        right: the answer holds the fact.
        cited: the answer cites a passage that holds the fact.
        alone: the answer holds the fact when the right passage is handed over alone, without a search:
            what is missing there is the model's own loss.
        pages: passages brought in a question.
        model: name of the model.
    """

    brought: float
    first: float
    right: float
    cited: float
    alone: float
    pages: float
    model: str


async def answer_all(
    source: Path,
    rows: Sequence[tuple[str, str, str, tuple[str, ...]]],
    say: Callable[[str], None] = lambda text: None,
    focus: str = "auto",
) -> Answers:
    """Index a folder and ask about it.

    Args:
        source: folder of documents.
        rows: (file name, its text with a heading, question, ways to write what the answer must hold).
        say: takes a line of progress.
        focus: setting of the disk plugin.
    """
    from llmos.conversation.session import open_session
    from llmos.plugins.contributions import CommandContext
    from llmos.settings import Folders, load_settings

    counts = dict.fromkeys(("brought", "first", "right", "cited", "alone", "pages"), 0)
    with tempfile.TemporaryDirectory(prefix="llmos-bench-") as name:
        home = Path(name)
        where = Folders(home / "config", home / "data", home / "cache", home / "log")
        settings = load_settings()
        settings.plugins.options["disk"] = {**settings.plugins.options.get("disk", {}), "focus": focus}
        async with open_session(settings, face="cli", where=where) as session:
            plugins: Any = session.plugins
            await plugins.run_command("disk add", {"paths": [str(source)]}, CommandContext())
            for number, (file, text, question, words) in enumerate(rows):
                if number and number % 20 == 0:
                    say(f"answers: {number} of {len(rows)} questions")
                said, pages, cited = await _ask(session, question, (), _OPTIONS)
                counts["right"] += _holds(said, words)
                counts["brought"] += any(_is_from(page, file, words) for page in pages)
                counts["first"] += bool(pages) and _is_from(pages[0], file, words)
                counts["cited"] += any(_is_from(page, file, words) for page in cited)
                counts["pages"] += len(pages)
                heading, _, body = text.partition("\n\n")
                page = Page(body.strip(), "passage", source=file, heading=heading.lstrip("# "))
                said, _, _ = await _ask(session, question, (page,), {**_OPTIONS, "retrieve": "never"})
                counts["alone"] += _holds(said, words)
            model = session.kernel.model.name if session.kernel.model else "no model"
    return Answers(**{key: value / len(rows) for key, value in counts.items()}, model=model)


async def _ask(
    session: Any, question: str, pages: Sequence[Page], options: dict[str, Any]
) -> tuple[str, list[Page], list[Page]]:
    """(answer, pages that came in, pages that it cites) of one question in a chat of its own."""
    chat = session.conversation()
    text = ""
    brought: list[Page] = []
    cited: list[Page] = []
    async for event in chat.send(question, list(pages), options):
        if isinstance(event, TextDelta):
            text += event.text
        elif isinstance(event, PageIn):
            brought.append(event.page)
        elif isinstance(event, Citation):
            cited.append(event.page)
    await session.leave(chat.chat_id)
    return text, brought, cited


def _is_from(page: Page, file: str, words: Sequence[str]) -> bool:
    """The page is a passage of this file and holds the fact."""
    return Path(str(page.location.get("path", page.source))).name == file and _holds(page.text, words)


def _holds(text: str, words: Sequence[str]) -> bool:
    """One of the words stands in the text as a word of its own."""
    low = text.lower()
    return any(re.search(rf"(?<![\w.]){re.escape(word.lower())}(?![\w]|\.\d)", low) for word in words)
