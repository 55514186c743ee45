"""Questions to the loaded model about documents on disk, through the whole path of the program."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
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


async def answer_all(source: Path, rows: Sequence[tuple[str, str, str, str]]) -> Answers:
    """Index a folder and ask about it.

    Args:
        source: folder of documents.
        rows: (file name, its text with a heading, question, word that the answer must hold).
    """
    from llmos.conversation.session import open_session
    from llmos.plugins.contributions import CommandContext
    from llmos.settings import Folders, load_settings

    counts = dict.fromkeys(("brought", "first", "right", "cited", "alone", "pages"), 0)
    with tempfile.TemporaryDirectory(prefix="llmos-bench-") as name:
        home = Path(name)
        where = Folders(home / "config", home / "data", home / "cache", home / "log")
        async with open_session(load_settings(), face="cli", where=where) as session:
            plugins: Any = session.plugins
            await plugins.run_command("disk add", {"paths": [str(source)]}, CommandContext())
            for file, text, question, word in rows:
                said, pages, cited = await _ask(session, question, (), _OPTIONS)
                counts["right"] += _holds(said, word)
                counts["brought"] += any(_holds(page.text, word) for page in pages)
                counts["first"] += bool(pages) and _holds(pages[0].text, word)
                counts["cited"] += any(_holds(page.text, word) for page in cited)
                counts["pages"] += len(pages)
                heading, _, body = text.partition("\n\n")
                page = Page(body.strip(), "passage", source=file, heading=heading.lstrip("# "))
                said, _, _ = await _ask(session, question, (page,), {**_OPTIONS, "retrieve": "never"})
                counts["alone"] += _holds(said, word)
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


def _holds(text: str, word: str) -> bool:
    """The word stands in the text as a word of its own."""
    return re.search(rf"(?<![\w.]){re.escape(word.lower())}(?![\w]|\.\d)", text.lower()) is not None
