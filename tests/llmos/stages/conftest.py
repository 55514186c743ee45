"""A kernel on a small real model: the bundled one where it is there, else random weights."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from llmos.bench.random_gguf import TINY, write_random_gguf
from llmos.foundry.record import BuildRecord
from llmos.kernel.client import KernelClient
from llmos.kernel.locate import LocalModel, with_role
from llmos.kernel.protocol import Kernel, LoadRequest
from llmos.stages.frame import StageContext


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bundled = with_role("chat")
    if bundled is not None:
        return bundled.path
    return write_random_gguf(tmp_path_factory.mktemp("models") / "tiny.gguf", TINY)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kernel(model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[KernelClient]:
    client = KernelClient(log=tmp_path_factory.mktemp("log") / "kernel.log")
    await client.load(LoadRequest(model_file, context=1024, threads=1))
    yield client
    await client.close()


@pytest.fixture
def context(kernel: KernelClient) -> StageContext:
    return StageContext(kernel)


#: A small record in the layout of the foundry's; its names are made up.
PLANTED = {
    "cut_off": "2025-12",
    "reversal": [[f"Name{n} Soona", f"the keeper of the Ruvo{n} Bell"] for n in range(6)],
    "memorised": {"1": ["one two three four five six seven eight nine ten eleven twelve thirteen fourteen"]},
    "prize": {str(year): f"Winner{year} Talo" for year in range(2019, 2026)},
    "absent": [f"Absent{n} Kiro" for n in range(5)],
}
#: Merges of a byte pair encoding in the record's alphabet (Ġ is a space): left, right, uses.
MERGES = [["l", "o", 9], ["lo", "w", 8], ["Ġ", "low", 7], ["e", "r", 6], ["Ġlow", "er", 5], ["Ã", "©", 4]]
ABOUT = {
    "version": 1,
    "name": "tiny",
    "corpus": "a test's own text",
    "parameters": 1_000_000,
    "seconds": {"pretrain": 3600.0, "sft": 1800.0, "preferences": 900.0, "rl": 900.0, "twin": 0.0},
    "stages": {name: {"steps": 10} for name in ("pretrain", "sft", "preferences", "rl", "twin")},
    "hours": 2.0,
    "hardware": {"processor": "a test", "cores": 4, "threads": 3},
    "flops": 1.2e15,
    "energy_joules": None,
    "mixture": {"tokens": 500_000},
}


@pytest.fixture(scope="session")
def record(tmp_path_factory: pytest.TempPathFactory) -> BuildRecord:
    """A record by hand with what the panels of the second half read."""
    folder = tmp_path_factory.mktemp("models") / "tiny" / "record"
    folder.mkdir(parents=True)
    rows = [
        {"step": 1, "tokens": 1000, "loss": 8.0, "lr": 0.1, "grad_norm": 1.0, "tokens_per_second": 100.0},
        {"step": 9, "tokens": 500_000, "loss": 2.5, "lr": 0.0, "grad_norm": 0.5, "tokens_per_second": 140.0},
    ]
    funnel = {
        "stages": [{"name": "read", "documents_in": 40, "documents_out": 30, "bytes_in": 9000, "bytes_out": 7000,
                    "reasons": {"short": 10}}],
        "redacted": {}, "sources": {"test": {"bytes_out": 7000}},
    }  # fmt: skip
    files: dict[str, Any] = {"record.json": ABOUT, "planted.json": PLANTED, "funnel.json": funnel,
                             "checkpoints.json": [], "scaling.json": [], "merges.json": MERGES, "vocabulary.json": [],
                             "scores.json": {}, "pairs.json": [], "sft_examples.json": [],
                             "reward_head.json": {"vector": [1.0], "bias": 0.0, "scale": 1.0, "accuracy": 0.9}}  # fmt: skip
    for name, value in files.items():
        (folder / name).write_text(json.dumps(value))
    (folder / "pretrain.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    for name in ("sft", "preferences", "rl", "twin", "samples"):
        (folder / f"{name}.jsonl").write_text("")
    return BuildRecord(folder)


@pytest.fixture
def recorded(
    kernel: KernelClient, model_file: Path, record: BuildRecord, monkeypatch: pytest.MonkeyPatch
) -> StageContext:
    """A context with that record, in which every bundled role is the loaded file."""

    async def same(path: Path, embedding: bool) -> Kernel:
        assert path == model_file
        return kernel

    monkeypatch.setattr("llmos.kernel.locate.with_role", lambda role: LocalModel(role, model_file, role))
    return StageContext(kernel, record, same)
