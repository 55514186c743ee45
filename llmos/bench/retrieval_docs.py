"""Recall over a real documentation tree, and whether retrieval knows when to stay out.

The tree is Node.js's own API documentation. What was embedded is kept between runs, so that only the
first one takes minutes. Weights were tuned on one set of questions; the set that is scored was written
afterwards and never tuned on.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from llmos.bench import retrieval_sets as sets
from llmos.bench.figures import Figure, figure
from llmos.bench.retrieval_embedder import Source
from llmos.types import UserError

#: Files of a quick run: 1,500 sections.
SOME = {
    *("async_context", "buffer", "cluster", "console", "debugger", "dgram", "dns", "events", "fs", "globals"),
    *("http", "net", "os", "path", "perf_hooks", "process", "querystring", "string_decoder", "timers", "tty"),
    *("url", "v8", "worker_threads"),
}
MODES = ("dense", "words", "fused")
_NAMES = {"dense": "dense alone", "words": "BM25 alone", "fused": "fused"}


class Remembering:
    """An embedder that embeds each query once, however often it is searched for."""

    def __init__(self, embedder: Any) -> None:
        """See the class."""
        self._embedder = embedder
        self._known: dict[str, Any] = {}
        self.name = embedder.name

    def embed(self, texts: Sequence[str]) -> Any:
        """Normalised vectors."""
        if len(texts) > 1:
            return self._embedder.embed(texts)
        if texts[0] not in self._known:
            self._known[texts[0]] = self._embedder.embed(texts)
        return self._known[texts[0]]


def markdown_copy(docs: Path, target: Path, quick: bool) -> Path:
    """The Markdown files of a tree, copied to where nothing else lies; what is gone there goes here.

    Raises:
        UserError: there is no Markdown.
    """
    files = sorted(docs.rglob("*.md"))
    if quick:
        files = [file for file in files if file.stem in SOME]
    if not files:
        raise UserError(
            f"There is no Markdown file in {docs}; give Node.js's doc/api folder with -o docs=FOLDER."
        )
    wanted = {target / file.relative_to(docs): file for file in files}
    for old in target.rglob("*.md"):
        if old not in wanted:
            old.unlink()
    for place, file in wanted.items():
        if not place.is_file() or place.read_bytes() != file.read_bytes():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)
    return target


def documentation(
    docs: Path,
    embedder: Any,
    folder: Path,
    quick: bool,
    wanted: Sequence[str],
    say: Callable[[str], None] = lambda text: None,
) -> list[Figure]:
    """Figures of the parts ``recall`` and ``decision``.

    Args:
        docs: documentation tree in Markdown.
        embedder: as ``KernelEmbedder``.
        folder: keeps copies and index between runs, those of quick and full runs apart.
        quick: a part of the tree, of 1,500 sections.
        wanted: the parts.
        say: takes a line of progress.
    """
    from llmos_disk.indexer import Control
    from llmos_disk.service import Disk

    place = folder / ("some" if quick else "whole")
    chosen = markdown_copy(docs, place / "docs", quick)
    remembering = Remembering(embedder)
    disk = Disk(place / "index", Source(remembering), notify=say)
    said = [""]

    def progress(now: Any) -> None:
        line = now.line()
        if line and line.partition(" · ")[0] != said[0]:
            said[0] = line.partition(" · ")[0]
            say(f"documentation: {line}")

    try:
        disk.add([str(chosen)])
        report = disk.index(control=Control(report=progress))
        sections = disk.store.db.execute("SELECT COUNT(*) FROM (SELECT DISTINCT title, heading FROM chunks)")
        figures = [
            figure("sections of the documentation", int(sections.fetchone()[0]), "sections"),
            figure("chunks of it", disk.store.counts()["chunks"], "chunks"),
            figure("of these embedded now", report.chunks, "chunks"),
        ]
        if "recall" in wanted:
            figures += recall(disk, 60 if quick else 200, say)
        if "decision" in wanted:
            figures += decision(disk, say)
        return figures
    finally:
        disk.close()


def recall(disk: Any, identifiers: int, say: Callable[[str], None] = lambda text: None) -> list[Figure]:
    """Share of questions for which one of the first five passages answers.

    Args:
        disk: the index.
        identifiers: how many names to draw from the headings.
        say: takes a line of progress.
    """
    sections = {
        (str(row[0]), str(row[1]).rpartition(" > ")[2])
        for row in disk.store.db.execute("SELECT DISTINCT title, heading FROM chunks")
    }
    asked = {
        "paraphrases, held out": (_within(disk, sets.paraphrases("paraphrases_held_out")), 0.82),
        "paraphrases, tuned on": (_within(disk, sets.paraphrases()), 0.0),
        "identifiers": (sets.identifiers(sections, identifiers), 0.95),
    }
    figures = []
    for kind, (questions, target) in asked.items():
        say(f"recall: {len(questions)} {kind}")
        figures.append(figure(f"questions, {kind}", len(questions), "questions"))
        found = {mode: _share(disk, questions, mode) for mode in MODES}
        for mode in MODES:
            relation: Any = ">=" if mode == "fused" and target else ""
            figures.append(figure(f"recall@5, {kind}, {_NAMES[mode]}", found[mode], "share", relation, target))
        above = found["fused"] - max(found["dense"], found["words"])
        figures.append(
            figure(
                f"recall@5, {kind}, fused above the better of both", above, "share", ">=" if target else "", 0.0
            )
        )
    return figures


def _share(disk: Any, questions: Sequence[sets.Question], mode: str) -> float:
    hits = [
        any(
            question.answered_by(hit.passage.relative, hit.passage.heading)
            for hit in disk.search(question.text, limit=5, mode=mode).hits
        )
        for question in questions
    ]
    return sum(hits) / max(len(hits), 1)


def _within(disk: Any, questions: Sequence[sets.Question]) -> list[sets.Question]:
    """Questions all of whose answers are in files of this index."""
    rows = disk.store.db.execute("SELECT DISTINCT title FROM chunks")
    files = {Path(str(row[0])).stem for row in rows}
    return [one for one in questions if files.issuperset(file for file, _ in one.answers)]


def decision(disk: Any, say: Callable[[str], None] = lambda text: None) -> list[Figure]:
    """Questions that the files answer against questions that they do not."""
    from llmos_disk.retrieval import retrieve

    def brings(question: str) -> bool:
        return bool(retrieve(disk, question, 2_000, lambda text: len(text) // 4).pages)

    wrong = sum(map(brings, sets.other_questions()))
    figures = []
    for name, told in (("paraphrases_held_out", "held out"), ("paraphrases", "tuned on")):
        needed = [one.text for one in _within(disk, sets.paraphrases(name))]
        say(f"decision: {len(needed)} questions that the files answer, {told}")
        right = sum(map(brings, needed))
        figures += [
            figure(f"looks into the files, {told}, precision", right / max(right + wrong, 1), "share"),
            figure(f"looks into the files, {told}, recall", right / max(len(needed), 1), "share"),
        ]
    return figures
