"""``llmos bench models``: memory estimates against measured loads, and how quickly a header is read."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llmos.bench.figures import Figure, figure
from llmos.bench.random_gguf import M15, M135, Quantisation, Shape, write_random_gguf
from llmos.catalog.fit import fit_header
from llmos.catalog.machine import this_machine
from llmos.kernel.cache_format import FORMATS
from llmos.kernel.client import KernelClient
from llmos.kernel.gguf_header import read_header
from llmos.kernel.protocol import GenerateRequest, LoadRequest

Say = Callable[[str], None]

#: Middle sizes between the well-known ones.
_M60 = Shape("60M", 512, 12, 8, 4, 1536, 32_000, 8192)
_M300 = Shape("300M", 1024, 16, 16, 4, 3072, 49_152, 8192)
#: (shape, quantisation, context, KV format)
_CASES: tuple[tuple[Shape, Quantisation, int, str], ...] = (
    (M15, "F16", 2048, "f16"),
    (M15, "Q8_0", 4096, "f16"),
    (_M60, "Q8_0", 4096, "f16"),
    (_M60, "F16", 8192, "q8_0"),
    (M135, "Q8_0", 2048, "f16"),
    (M135, "F16", 8192, "f16"),
    (_M300, "Q8_0", 8192, "q8_0"),
    (_M300, "F16", 2048, "f16"),
    (M135, "Q8_0", 4096, "q8_0/f16"),
    (_M300, "Q8_0", 2048, "q8_0/f16"),
)


async def _measured(path: Path, context: int, kv_type: Any) -> int:
    """Resident bytes of a worker after a load and a prompt."""
    kernel = KernelClient()
    try:
        await kernel.load(LoadRequest(path, context=context, kv_type=kv_type))
        # Scores of attention that flash attention never keeps take memory as the context fills.
        length = 256 if FORMATS[kv_type].flash_attention else context - 16
        prompt = [300 + number % 1_000 for number in range(length)]
        async for _ in kernel.generate(GenerateRequest(prompt, max_tokens=4)):
            pass
        return (await kernel.stats()).resident_bytes
    finally:
        await kernel.close()


async def _estimates(cases: int, say: Say) -> list[Figure]:
    figures: list[Figure] = []
    worst = 0.0
    machine = this_machine()
    with tempfile.TemporaryDirectory(prefix="llmos-models-") as folder:
        for number, (shape, kind, context, kv_type) in enumerate(_CASES[:cases]):
            path = write_random_gguf(Path(folder) / f"{number}.gguf", shape, quantisation=kind)
            fit = fit_header(read_header(path), machine, context, kv_type)  # type: ignore[arg-type]
            real = await _measured(path, context, kv_type)
            off = fit.total / real - 1
            worst = max(worst, abs(off))
            name = f"{shape.name} {kind}, {context} tokens, {kv_type}"
            say(f"{name}: estimated {fit.total / 1e6:.0f} MB, measured {real / 1e6:.0f} MB")
            figures.append(figure(f"estimate to measured: {name}", fit.total / real, "ratio"))
            path.unlink()
    return [*figures, figure("largest deviation", worst, "share", "<=", 0.10)]


def _header(say: Say) -> Figure:
    """A file of 10 GB (sparse) with a real vocabulary and many tensors."""
    with tempfile.TemporaryDirectory(prefix="llmos-header-") as folder:
        path = write_random_gguf(Path(folder) / "big.gguf", M135, quantisation="Q8_0")
        with path.open("r+b") as file:
            file.truncate(10_000_000_000)
        best = min(_timed(path) for _ in range(5))
    say(f"header: {best * 1e3:.0f} ms")
    return figure("header of a 10 GB file", 1e3 * best, "ms", "<=", 200)


def _timed(path: Path) -> float:
    began = time.perf_counter()
    read_header(path)
    return time.perf_counter() - began


def run(quick: bool = False, say: Say = lambda text: None, **_: Any) -> list[Figure]:
    """Run the benchmark.

    Args:
        quick: three of the shapes.
        say: takes progress.
    """
    return [*asyncio.run(_estimates(3 if quick else len(_CASES), say)), _header(say)]
