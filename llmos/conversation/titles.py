"""Titles of chats: by the model where it is able, else from the first words."""

from __future__ import annotations

import re

from llmos.conversation.store import Store
from llmos.guard.clean import clean
from llmos.kernel.protocol import Chunk as KernelChunk
from llmos.kernel.protocol import Finished, GenerateRequest, Kernel, KernelError
from llmos.types import USER_LABELS, Message, SamplingSettings

#: Longest title in characters.
LONGEST = 48
#: Models with fewer parameters write worse titles than the first words of the question are.
LEAST_PARAMETERS = 300_000_000

_OPENERS = re.compile(
    r"^(?:(?:please|hi|hello|hey|ok|okay|so|well|(?:can|could|would) you|i (?:want|would like) to)\b[\s,!.]*)+",
    re.IGNORECASE,
)


def title_from(text: str) -> str:
    """A title from what the user wrote: the first sentence without its opening words, cut at a word."""
    line = next((line.strip(" \t#>*-`") for line in text.splitlines() if line.strip(" \t#>*-`")), "")
    shorter = _OPENERS.sub("", line).strip()
    line = shorter if len(shorter) >= 3 else line
    sentence = re.split(r"(?<=[.!?。？！])\s", line, maxsplit=1)[0].rstrip(".。")
    if len(sentence) > LONGEST:
        cut = sentence[:LONGEST].rsplit(" ", 1)[0] if " " in sentence[:LONGEST] else sentence[: LONGEST - 1]
        sentence = cut.rstrip(" ,;:") + "…"
    return sentence[:1].upper() + sentence[1:]


async def title_by_model(kernel: Kernel, user: Message, answer: Message) -> str:
    """A title that the model writes in the background; empty when it gives nothing usable."""
    ask = Message(
        "user",
        f"{user.content[:1_000]}\n\n{answer.content[:1_000]}\n\n"
        "Give this conversation a title of at most six words. Answer with the title alone.",
        labels=USER_LABELS,
    )
    rendered = await kernel.render_chat([ask])
    request = GenerateRequest(
        prompt=rendered.tokens,
        sequence=f"title-{user.id[:16]}",
        max_tokens=160,  # a thinking model needs some room before the title
        sampling=SamplingSettings(temperature=0.0),
        priority="background",
        keep=False,
    )
    text = ""
    async for event in kernel.generate(request):
        if isinstance(event, KernelChunk):
            text += event.text
        elif isinstance(event, Finished):
            break
    line = next(iter(clean(kernel.parse_answer(text).content).strip().splitlines()), "")
    line = line.strip(" \t\"'*#`.").removeprefix("Title:").strip()
    return line if 3 <= len(line) <= 2 * LONGEST else ""


async def give_title(
    store: Store, kernel: Kernel, chat_id: str, user: Message, answer: Message, how: str
) -> str:
    """Title a chat that has none; what the user chose is never overwritten.

    Args:
        store: where the chat is.
        kernel: may write the title.
        chat_id: the chat.
        user: first message.
        answer: its answer.
        how: ``auto``, ``heuristic`` or ``off``.

    Returns:
        The title now, empty when there is none.
    """
    chat = await store.run(store.chat, chat_id)
    if chat is None or how == "off" or chat.title_by == "user":
        return chat.title if chat else ""
    if chat.title and user.parent_id is not None:  # only the first answer brings a better one
        return chat.title
    title = title_from(user.content)
    if title:
        await store.run(store.rename_chat, chat_id, title, by="auto")
    model = kernel.model
    if how == "auto" and model is not None and model.parameters >= LEAST_PARAMETERS:
        try:
            written = await title_by_model(kernel, user, answer)
        except KernelError:
            written = ""
        if written:
            title = written
            await store.run(store.rename_chat, chat_id, title, by="auto")
    return title
