"""Answers to thousands of prompts by one model file: several kernels, full batches, no prompt twice."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from llmos.foundry.wide_heads import helps_here, write_wide

if TYPE_CHECKING:
    from llmos.kernel.client import KernelClient
    from llmos.kernel.protocol import GenerateRequest

#: Answers that a kernel writes at once; the samples of a vote are as many.
LANES = 16
#: Longest answer in tokens.
LIMIT = 220
_SMALLEST_WINDOW = 512
#: A file larger than this (bytes) gets one kernel only: its threads have enough to do.
_SMALL_FILE = 256 << 20
_MOST_KERNELS = 4
#: Mean difference (nats a token) from the file up to which its copy with wide heads is taken.
_SAME = 0.05


def kernels_for(model: Path, threads: int) -> int:
    """How many kernels are worth starting: a small model gains nothing from a second thread.

    Args:
        model: the GGUF file.
        threads: of each kernel; 0 where it chooses.
    """
    at_hand = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if model.stat().st_size > _SMALL_FILE:
        return 1
    return max(1, min(_MOST_KERNELS, at_hand // max(1, threads)))


async def collect(kernel: KernelClient, request: GenerateRequest) -> list[str]:
    """Run one generation; the text of each sample."""
    from llmos.kernel.protocol import Chunk

    texts = [""] * request.samples
    async for event in kernel.generate(request):
        if isinstance(event, Chunk):
            texts[event.sample] += event.text
    return texts


class Answerers:
    """Kernels with one model; an async context.

    Args:
        model: the GGUF file.
        threads: of each kernel; 0 takes one where there are several, else lets the kernel choose.
        kernels: worker processes; 0 chooses, see ``kernels_for``.
        example: a text of the kind that will be asked; a copy with wide heads must give it the same
            probabilities as the file.

    Raises:
        KernelError: the file cannot be loaded.
    """

    def __init__(self, model: Path, *, threads: int = 0, kernels: int = 0, example: str = "") -> None:
        self._model = self._loaded = model
        count = kernels or kernels_for(model, threads)
        self._threads = threads or (1 if count > 1 else 0)
        self._count = count
        self._example = example
        self._kernels: list[KernelClient] = []
        self._window = 0
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    async def __aenter__(self) -> Answerers:
        from llmos.kernel.client import KernelClient

        self._kernels = [KernelClient() for _ in range(self._count)]
        try:
            await self._choose_file()
            await self._load(_SMALLEST_WINDOW)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        await asyncio.gather(*(kernel.close() for kernel in self._kernels))
        if self._folder is not None:
            self._folder.cleanup()

    async def _choose_file(self) -> None:
        """Take a copy with wide heads where it is faster and gives the same probabilities."""
        if not self._example or not helps_here():
            return
        self._folder = tempfile.TemporaryDirectory(prefix="llmos-wide-")
        copy = Path(self._folder.name) / self._model.name
        if not write_wide(self._model, copy):
            return
        first, found = self._kernels[0], []
        for path in (self._model, copy):
            await self._load_into(first, path, 2 * _SMALLEST_WINDOW, 1)
            tokens = (await first.tokenize(self._example, special=True))[:_SMALLEST_WINDOW]
            found.append(await first.score(tokens))
        differences = [abs(one - other) for one, other in zip(*found, strict=True)]
        if sum(differences) <= _SAME * len(differences):
            self._loaded = copy

    async def _load_into(self, kernel: KernelClient, path: Path, window: int, sequences: int) -> None:
        from llmos.kernel.protocol import LoadRequest

        await kernel.load(
            LoadRequest(
                path,
                context=window * sequences,
                threads=self._threads,
                max_sequences=sequences,
                own_windows=sequences > 1,
            )
        )

    async def _load(self, window: int) -> None:
        self._window = window
        await asyncio.gather(*(self._load_into(one, self._loaded, window, LANES + 2) for one in self._kernels))

    async def _tokens(self, prompts: Sequence[str]) -> list[list[int]]:
        """Token ids of all prompts; the windows are made as large as the longest needs."""
        found = [await self._kernels[0].tokenize(text, special=True) for text in prompts]
        needed = max(map(len, found), default=0) + LIMIT + 1
        if needed > self._window:
            await self._load(-(-needed // 256) * 256)
        return found

    async def greedy(self, prompts: Sequence[str]) -> list[str]:
        """The likeliest answer to each prompt.

        The same prompt is answered once. Prompts go in the order of their text, so that the next one
        finds as much of itself as possible in the KV cache of one that was answered.
        """
        from llmos.kernel.protocol import GenerateRequest
        from llmos.types import SamplingSettings

        texts = sorted(set(prompts))
        tokens = await self._tokens(texts)
        answers: dict[str, str] = {}
        todo = iter(zip(texts, tokens, strict=True))
        greedy = SamplingSettings(temperature=0.0, top_k=0, top_p=1.0, min_p=0.0, seed=1)

        async def work(kernel: KernelClient, lane: int) -> None:
            for text, prompt in todo:
                request = GenerateRequest(prompt, f"lane-{lane}", LIMIT, greedy, stream=False)
                answers[text] = (await collect(kernel, request))[0]

        await asyncio.gather(*(work(one, lane) for lane in range(LANES) for one in self._kernels))
        return [answers[text] for text in prompts]

    async def sampled(
        self, prompts: Sequence[str], seeds: Sequence[int], temperature: float
    ) -> list[list[str]]:
        """``LANES`` drawn answers to each prompt.

        Args:
            prompts: rendered texts.
            seeds: one for each prompt.
            temperature: of the draws.
        """
        from llmos.kernel.protocol import GenerateRequest
        from llmos.types import SamplingSettings

        tokens = await self._tokens(prompts)
        found: list[list[str]] = [[] for _ in prompts]
        todo = iter(range(len(prompts)))

        async def work(kernel: KernelClient) -> None:
            for at in todo:
                drawn = SamplingSettings(temperature=temperature, top_k=0, top_p=1.0, min_p=0.0, seed=seeds[at])
                request = GenerateRequest(tokens[at], "vote", LIMIT, drawn, samples=LANES, stream=False)
                found[at] = await collect(kernel, request)

        await asyncio.gather(*(work(one) for one in self._kernels))
        return found
