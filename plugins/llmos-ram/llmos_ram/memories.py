"""Facts that the user asked to keep, across chats: versioned, so that a newer one supersedes."""

from __future__ import annotations

from dataclasses import dataclass

from llmos.types import Labels
from llmos_ram.store import Memory, RamStore
from llmos_ram.words import all_words, content_words, same_subject, subject_of


@dataclass(frozen=True, slots=True)
class Remembered:
    """What ``remember`` did; ``replaced`` are older versions."""

    row: int
    replaced: tuple[Memory, ...]
    known: bool = False


def remember(store: RamStore, text: str, labels: Labels, chat_id: str = "") -> Remembered:
    """Keep a fact; one about the same subject is superseded and stays as history.

    Args:
        store: where.
        text: the fact, as the user or the approved call words it.
        labels: its labels; facts from untrusted text stay untrusted.
        chat_id: where it was told.

    Raises:
        ValueError: nothing to remember.
    """
    text = " ".join(text.split())
    if not all_words(text):
        raise ValueError("There is nothing to remember in an empty text.")
    subject = subject_of(text)
    present = store.memories()
    for memory in present:
        if memory.text.casefold() == text.casefold():
            return Remembered(memory.row, (), known=True)
    older = tuple(memory for memory in present if same_subject(subject, subject_of(memory.text)))
    pinned = any(memory.pinned for memory in older)
    row = store.add_memory(text, labels, chat_id, [memory.row for memory in older], pinned)
    return Remembered(row, older)


def find(store: RamStore, query: str, limit: int = 5, *, history: bool = False) -> list[Memory]:
    """Facts that share content words with the query, best first; newer before older."""
    wanted = set(content_words(query))
    scored: list[tuple[float, int, Memory]] = []
    for memory in store.memories(history=history):
        shared = wanted & set(content_words(memory.text))
        if shared:
            scored.append((len(shared) / len(wanted), memory.row, memory))
    scored.sort(key=lambda item: (-item[0], -item[1]))
    return [memory for _, _, memory in scored[:limit]]


def forget(store: RamStore, text: str) -> list[Memory]:
    """Forget the facts named: a number of the list, else those that hold every word of the text."""
    present = store.memories()
    if text.strip().isdigit():
        gone = [memory for memory in present if memory.row == int(text)]
    else:
        wanted = set(content_words(text))
        gone = [memory for memory in present if wanted and wanted <= set(content_words(memory.text))]
    for memory in gone:
        store.forget_memory(memory.row)
    return gone
