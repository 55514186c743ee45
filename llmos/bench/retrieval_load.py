"""Run as ``python -m llmos.bench.retrieval_load MODEL FOLDER CHUNKS QUESTIONS``: search in a large index.

Texts are words drawn from a vocabulary by Zipf's law, vectors are random directions: neither speed
nor memory depends on what they say. Every query is embedded by the real embedder, and no query is
asked twice. An index of that size that is in the folder already is used again.
"""

from __future__ import annotations

import json
import random
import shutil
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from llmos.bench.retrieval_embedder import KernelEmbedder, Source

_PER_FILE = 100
_WORDS = 110


def fill(disk: Any, folder: Path, chunks: int, vocabulary: list[str]) -> None:
    """Write chunks through the same two halves of a commit as the indexer does."""
    import numpy as np
    from llmos_disk.chunker import Chunk
    from llmos_disk.records import Prepared, Seen

    randomly = random.Random(3)
    draws = np.random.default_rng(3)
    weights = [1 / (rank + 3) for rank in range(len(vocabulary))]
    source = disk.add([str(folder)])[0]
    embedder_id = disk.store.embedder("all-MiniLM-L6-v2", 384)
    for number in range(chunks // _PER_FILE):
        vectors = draws.standard_normal((_PER_FILE, 384)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        made = [
            Chunk(
                at,
                f"Section {number}",
                " ".join(randomly.choices(vocabulary, weights, k=_WORDS)),
                at + 1,
                at + 1,
            )
            for at in range(_PER_FILE)
        ]
        seen = Seen(f"{folder}/{number}.md".encode(), 1, 1, number, 1)
        item = Prepared(
            source.id, seen, f"{number}.md", "markdown", f"{number:064}", f"{number:040}.md.1", made, vectors
        )
        disk.chroma.upsert("all-MiniLM-L6-v2", disk.store.begin([item], embedder_id))
        disk.store.finish([item], "bench")


def main() -> int:
    """Fill, close, open in the same process, search; figures as JSON on standard output."""
    import psutil
    from llmos_disk.service import Disk

    model, folder, chunks, questions = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    asked: list[str] = json.loads(questions.read_text())
    source = folder / "source"
    source.mkdir(parents=True, exist_ok=True)
    if len(sys.argv) < 6:  # fill in a process of its own, so that its memory is not counted
        import subprocess

        full = folder / f"full-{chunks}"
        if not full.exists():
            shutil.rmtree(folder / "index", ignore_errors=True)
            command = [sys.executable, "-m", "llmos.bench.retrieval_load", *sys.argv[1:], "fill"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            full.touch()
    else:
        disk = Disk(folder / "index", Source(None))
        words = sorted({word for text in asked for word in text.split()})
        made = [f"{first}{second}" for first in "bcdfghjklmnpqrstvwz" for second in words]
        fill(disk, source, chunks, words + made[:20_000])
        disk.close()
        return 0
    import os

    embedder = KernelEmbedder(model, folder / "embedder.log", os.cpu_count() or 1)
    disk = Disk(folder / "index", Source(embedder))
    try:
        for text in asked[:20]:
            disk.search(text)
        times, embeds, busy = [], [], []
        for text in asked:
            began = time.process_time()
            found = disk.search(text)
            busy.append((time.process_time() - began) * 1000)
            if found.exact or not found.dense:
                raise AssertionError("the search did not go through the vector index")
            times.append(found.seconds * 1000)
            started = time.perf_counter()
            embedder.embed([text])
            embeds.append((time.perf_counter() - started) * 1000)
        times.sort()
        result = {
            "p50_ms": statistics.median(times),
            "p99_ms": times[int(len(times) * 0.99)],
            "embed_p50_ms": statistics.median(embeds),
            "cpu_p50_ms": statistics.median(busy),
            "cpu_p99_ms": sorted(busy)[int(len(busy) * 0.99)],
            "memory_mb": psutil.Process().memory_info().rss / 1e6,
            "worker_mb": embedder.resident_bytes / 1e6,
        }
    finally:
        disk.close()
        embedder.close()
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
