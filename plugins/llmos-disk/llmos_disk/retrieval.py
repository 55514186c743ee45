"""From a turn to pages: decide, search, label, fit the budget, and remember why."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmos.types import Confidentiality, Integrity, Labels, Page
from llmos_disk.decide import Verdict, choose, worth_searching
from llmos_disk.focus import SMALL, nearest_sentences
from llmos_disk.query import Filter, parse
from llmos_disk.records import Passage, display_path
from llmos_disk.search import Hit
from llmos_disk.service import Disk

#: Tokens that the heading line of a page costs, roughly.
_HEAD_TOKENS = 24


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What was brought into a turn and why: for the panel, ``disk why`` and tests."""

    question: str
    mode: str
    why: str
    pages: tuple[Page, ...] = ()
    seconds: float = 0.0
    at: float = field(default_factory=time.time)

    def as_dict(self) -> dict[str, Any]:
        """For ``--json`` and the store."""
        return {
            "question": self.question,
            "mode": self.mode,
            "why": self.why,
            "seconds": self.seconds,
            "at": self.at,
            "passages": [
                {
                    "number": page.number,
                    "source": page.source,
                    "heading": page.heading,
                    "location": dict(page.location),
                    "why": page.reason,
                    "text": page.text,
                }
                for page in self.pages
            ],
        }


def labels_of(passage: Passage) -> Labels:
    """Labels by the folder that the file is in."""
    return Labels(
        frozenset({f"file:{display_path(passage.path)}"}),
        Integrity.TRUSTED if passage.trusted else Integrity.UNTRUSTED,
        Confidentiality.PRIVATE if passage.private else Confidentiality.PUBLIC,
    )


def page_of(hit: Hit, reason: str = "") -> Page:
    """A passage as a page: its place for the citation, its labels, and why it is here."""
    passage = hit.passage
    location: dict[str, Any] = {"path": display_path(passage.path)}
    if passage.line:
        location.update(line=passage.line, end_line=passage.end_line)
    if passage.page:
        location["page"] = passage.page
    if passage.part:
        location["part"] = passage.part
    return Page(
        text=passage.text,
        kind="passage",
        labels=labels_of(passage),
        heading=passage.heading,
        source=passage.relative,
        location=location,
        reason=reason or hit.why(),
    )


def mentioned(disk: Disk, names: Sequence[str]) -> tuple[Filter, list[str]]:
    """What ``@name`` stands for: files and folders of the index; the rest is given back as not known."""
    chosen = Filter()
    unknown = []
    folders = disk.store.folders()
    for name in names:
        plain = name.rstrip("/")
        folder = next((one for one in folders if plain in (one.name, one.display)), None)
        if folder is not None:
            chosen = chosen.merged(Filter(folders=(folder.name,)))
            continue
        path = os.path.realpath(os.path.expanduser(plain)) if plain.startswith(("/", "~", ".")) else plain
        scope, values = Filter(paths=(path,)).sql()
        if disk.store.scope_size(scope, values):
            chosen = chosen.merged(Filter(paths=(path,)))
        else:
            unknown.append(name)
    return chosen, unknown


def whole_file(disk: Disk, within: Filter, budget: int, count: Callable[[str], int]) -> list[Hit] | None:
    """The single file that was mentioned, whole, where it fits the budget."""
    if len(within.paths) != 1 or within.folders:
        return None
    scope, values = within.sql()
    rows = disk.store.db.execute(
        "SELECT f.path FROM files f JOIN folders d ON d.id=f.folder_id "
        f"WHERE f.content IS NOT NULL AND {scope} LIMIT 2",
        tuple(values),
    ).fetchall()
    if len(rows) != 1:
        return None
    passages = disk.store.passages_of_file(bytes(rows[0][0]))
    text = "\n".join(passage.text for passage in passages)
    if not passages or len(text) > budget * 8 or count(text) + _HEAD_TOKENS * len(passages) > budget:
        return None
    return [Hit(passage, 1.0) for passage in passages]


def retrieve(
    disk: Disk,
    question: str,
    budget: int,
    count: Callable[[str], int],
    options: Mapping[str, Any] | None = None,
    parameters: int = 0,
) -> Retrieval:
    """Pages for a question, best first, within a budget of tokens.

    Args:
        disk: the index.
        question: the user's message; ``@file`` and ``@folder`` in it restrict the search.
        budget: most tokens of all pages together.
        count: length of a text in tokens.
        options: of the turn; ``retrieve`` overrides the setting, ``files`` names files or folders.
        parameters: of the model that reads them, 0 where that is not known; a small one gets sentences.
    """
    started = time.perf_counter()
    options = options or {}
    mode = str(options.get("retrieve") or disk.settings.retrieve)
    query = parse(question)
    files = options.get("files") or ()
    names = (*query.mentions, *map(str, [files] if isinstance(files, str) else files))
    within, _ = mentioned(disk, names)
    scoped = within != Filter()
    verdict = _verdict(disk, question, query.text, mode, within, scoped, budget, count)
    hits, why = verdict.hits, verdict.why
    small = disk.settings.focus == "auto" and 0 < parameters <= SMALL
    if hits and not verdict.whole and (small or disk.settings.focus == "always"):
        hits = tuple(nearest_sentences(query.text, hits, disk.searcher.similarities))
        why += "; of each the nearest sentence" + (", for the model is small" if small else "")
    pages = _fit(hits, why, budget, count) if verdict.retrieve else []
    return Retrieval(question, mode, why, tuple(pages), time.perf_counter() - started)


def _verdict(
    disk: Disk,
    question: str,
    text: str,
    mode: str,
    within: Filter,
    scoped: bool,
    budget: int,
    count: Callable[[str], int],
) -> Verdict:
    if mode == "never" and not scoped:
        return Verdict(False, "retrieval is switched off")
    if scoped:
        whole = whole_file(disk, within, budget, count)
        if whole:
            return Verdict(True, "attached whole, as you mentioned it", tuple(whole), whole=True)
    elif mode == "auto":
        not_worth = worth_searching(text)
        if not_worth:
            return Verdict(False, f"not looked for: {not_worth}")
    found = disk.search(question, limit=disk.settings.passages, within=within if scoped else None)
    if scoped or mode == "always":
        why = "among the files you mentioned" if scoped else "retrieval is set to always"
        return Verdict(bool(found.hits), why if found.hits else "nothing was found", found.hits)
    return choose(text, found.hits, found.dense)


def _fit(hits: Sequence[Hit], why: str, budget: int, count: Callable[[str], int]) -> list[Page]:
    """Pages in order until the budget is used; the first is cut rather than left out."""
    pages: list[Page] = []
    left = budget
    for hit in hits:
        page = page_of(hit, f"{hit.why()}; {why}")
        tokens = count(page.text) + _HEAD_TOKENS
        if tokens > left:
            if pages or left < 64:
                continue
            share = (left - _HEAD_TOKENS) / tokens
            cut = page.text[: int(len(page.text) * share * 0.9)]
            page.text = cut[: max(cut.rfind("\n"), cut.rfind(". ") + 1, len(cut) // 2)].rstrip() + " …"
            tokens = count(page.text) + _HEAD_TOKENS
            if tokens > left:
                continue
        page.tokens = tokens
        left -= tokens
        pages.append(page)
    return pages
