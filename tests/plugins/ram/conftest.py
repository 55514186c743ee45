"""A host with what the pager asks of it: a folder, settings, token counts and vectors of words."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llmos_ram import page_vectors
from llmos_ram.pager import Pager
from llmos_ram.words import content_words

from llmos.plugins import Generation, KvState
from llmos.types import USER_LABELS, Labels, Message, Page


class FakeJob:
    cancelled = False

    def progress(self, done: float, total: float, text: str = "") -> None:
        self.done = done


class FakeJobs:
    """Runs a job at once, so that tests see its effect."""

    quiet = 0.0

    def quiet_seconds(self) -> float:
        return self.quiet

    def start(self, name: str, function: Any) -> FakeJob:
        job = FakeJob()
        function(job)
        return job


class FakeHost:
    """Deterministic vectors: the sum of one random direction a content word."""

    plugin = "ram"
    context_size = 2048
    model_name = "test-model"
    model_parameters = 3_000_000

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.data_dir = folder
        self.settings = {"recall_tokens": 512, "other_chats": False, **settings}
        self.notices: list[str] = []
        self.embedder = "words"
        self.windows: dict[str, list[Page]] = {}
        self.chats: dict[str, list[Message]] = {}
        self.jobs = FakeJobs()
        self.pinned: list[tuple[str, str, bool]] = []
        self.evicted: list[tuple[str, str]] = []
        self.kv = KvState()
        self.written: list[str | Exception] = []
        self.asked: list[dict[str, Any]] = []

    def count_tokens(self, text: str) -> int:
        return max(1, len(text) // 4)

    def embedder_id(self) -> str:
        return self.embedder

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        out = []
        for text in texts:
            total = np.full(64, 1e-6)
            for word in content_words(text):
                seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "little")
                total += np.random.default_rng(seed).standard_normal(64)
            out.append((total / np.linalg.norm(total)).tolist())
        return out

    def notify(self, text: str, level: str = "info") -> None:
        self.notices.append(text)

    def window_labels(self, chat_id: str) -> Labels:
        return USER_LABELS

    def window_pages(self, chat_id: str) -> list[Page]:
        return self.windows.get(chat_id, [])

    def pin_page(self, chat_id: str, page_id: str, pinned: bool) -> None:
        self.pinned.append((chat_id, page_id, pinned))

    def evict_page(self, chat_id: str, page_id: str) -> bool:
        self.evicted.append((chat_id, page_id))
        return True

    def kv_state(self, chat_id: str) -> KvState:
        return self.kv

    def generate(self, prompt: str, **options: Any) -> Generation:
        """The next of ``written``; an exception in it is raised."""
        self.asked.append({"prompt": prompt, **options})
        text = self.written.pop(0)
        if isinstance(text, Exception):
            raise text
        return Generation(text, len(text) // 4, -0.5, "stop")

    def chat_messages(self, chat_id: str) -> list[Message]:
        return self.chats.get(chat_id, [])


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs run at once here, so that of vectors need not wait for a pause in the talk."""
    monkeypatch.setattr(page_vectors, "PAUSE", 0.0)


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


@pytest.fixture
def pager(host: FakeHost) -> Iterator[Pager]:
    made = Pager(host)  # type: ignore[arg-type]
    yield made
    made.close()
