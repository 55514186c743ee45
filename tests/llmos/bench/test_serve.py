"""The serve benchmark on a small model: what it reports, not how fast this machine is."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmos.bench.random_gguf import TINY, write_random_gguf
from llmos.bench.serve import run
from llmos.kernel.locate import with_role


def test_clients_together_and_clients_that_leave() -> None:
    # Answers of a smaller model end on a busy machine before the last client has asked.
    said: list[str] = []
    figures = {one.name: one for one in run(shapes="15M", quick=True, say=said.append)}
    together = figures["8 clients to a bare batch, 15M"]
    assert together.value > 0 and together.target == ">= 0.9"
    # Tokens of the kernel's own count: not a matter of how fast or busy this machine is.
    assert figures["smallest to largest share while all are written, 15M"].value == 1
    assert 0 < figures["smallest to largest share at half time, 15M"].value <= 1
    strangers = figures["share at half time, different prompts, 15M"]
    assert 0 < strangers.value <= 1 and strangers.target == ">= 0.8"
    for kind in ("streaming", "waiting for the whole answer"):
        late = figures[f"evaluated after a client left, {kind}, 15M"]
        # An answer that went on would hold some 1,900 tokens more.
        assert 0 <= late.value < 500 and late.unit == "tokens"
    assert any(line.startswith("15M, round 3 of 3") for line in said)


def _short_requests(tmp_path: Path, requests: int) -> None:
    bundled = with_role("chat")
    model = str(bundled.path if bundled else write_random_gguf(tmp_path / "tiny.gguf", TINY))
    figures = {one.name: one for one in run(model, shapes="none", requests=requests)}
    assert figures["requests without an answer"].value == 0
    for part in ("server", "kernel"):
        assert figures[f"memory of the {part} after {requests:,} requests"].value > 10
        assert figures[f"growth of the {part} since a tenth of them"].ok


def test_short_requests_leave_memory_as_it_was(tmp_path: Path) -> None:
    _short_requests(tmp_path, 150)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_ten_thousand_requests_leave_memory_as_it_was(tmp_path: Path) -> None:
    _short_requests(tmp_path, 10_000)
