"""Questions to the loaded model about documents on disk, through the whole path of the program."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmos.types import PageIn, TextDelta


async def exact_share(source: Path, rows: Sequence[tuple[str, str]]) -> tuple[float, float, str]:
    """Index a folder and ask about it.

    Args:
        source: folder of documents.
        rows: (question, word that the answer must hold).

    Returns:
        (share of answers that hold the word, share of questions for which a passage with the word
        came in, name of the model).
    """
    from llmos.conversation.session import open_session
    from llmos.plugins.contributions import CommandContext
    from llmos.settings import Folders, load_settings

    right = brought = 0
    with tempfile.TemporaryDirectory(prefix="llmos-bench-") as name:
        home = Path(name)
        where = Folders(home / "config", home / "data", home / "cache", home / "log")
        async with open_session(load_settings(), face="cli", where=where) as session:
            plugins: Any = session.plugins
            await plugins.run_command("disk add", {"paths": [str(source)]}, CommandContext())
            for question, answer in rows:
                chat = session.conversation()
                text, passages = "", ""
                async for event in chat.send(
                    question, options={"temperature": 0.0, "tool_rounds": 0, "max_tokens": 64}
                ):
                    if isinstance(event, TextDelta):
                        text += event.text
                    elif isinstance(event, PageIn):
                        passages += event.page.text + "\n"
                right += _holds(text, answer)
                brought += _holds(passages, answer)
                await session.leave(chat.chat_id)
            model = session.kernel.model.name if session.kernel.model else "no model"
    return right / len(rows), brought / len(rows), model


def _holds(text: str, word: str) -> bool:
    """The word stands in the text as a word of its own."""
    return re.search(rf"(?<![\w.]){re.escape(word.lower())}(?![\w]|\.\d)", text.lower()) is not None
