"""Takes the samples of ``llmos bench reason`` once and keeps them in a file, to be replayed.

Each item is answered in several ways: at once (``direct``), with whole thoughts at temperature 0
(``single``), with those thoughts cut after some tokens and closed (``cut16`` …), and many times at
temperature 0.7 (``tries``). A run may end at any moment; the next one goes on where it ended.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmos.bench.reasoning_items import Item
from llmos.formats import THINK_CLOSE, THINK_OPEN
from llmos.kernel.protocol import Chunk, Finished, GenerateRequest, Kernel, Rendered
from llmos.types import Message, SamplingSettings

#: Thoughts of one try are cut after so many tokens.
CUTS = (20, 40, 60)
TEMPERATURE = 0.7
#: Tries of one request: they share the prompt's cells and are decoded in one batch.
BLOCK = 16
#: Requests in flight at a time.
TOGETHER = 2
_LIMIT = 170
_CLOSING_LIMIT = 24
_AT_ONCE = " Answer at once."

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer: visible text, thoughts, tokens, mean log-probability."""

    text: str
    thinking: str
    tokens: int
    logprob: float


@dataclass(slots=True)
class Samples:
    """All samples of a model and seed, in memory and in a file of one JSON object a line.

    Args:
        path: the file; what it holds is read, lines that were torn are left out.
    """

    path: Path
    by_item: dict[int, dict[str, list[Sample]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Read the file."""
        if not self.path.exists():
            return
        for line in self.path.read_text("utf-8").splitlines():
            try:
                found = json.loads(line)
                self._take(found["item"], found["kind"], [Sample(*one) for one in found["samples"]])
            except (ValueError, KeyError, TypeError):
                continue

    def of(self, item: int, kind: str) -> list[Sample]:
        """Samples of one kind of one item; empty when there are none yet."""
        return self.by_item.get(item, {}).get(kind, [])

    def _take(self, item: int, kind: str, more: Sequence[Sample]) -> None:
        self.by_item.setdefault(item, {}).setdefault(kind, []).extend(more)

    def add(self, item: int, kind: str, more: Sequence[Sample]) -> None:
        """Keep samples, on disk before the call returns."""
        self._take(item, kind, more)
        rows = [[one.text, one.thinking, one.tokens, one.logprob] for one in more]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"item": item, "kind": kind, "samples": rows}) + "\n")


class Sampler:
    """Asks a loaded kernel.

    Args:
        kernel: loaded, with at least ``BLOCK * TOGETHER`` sequences.
        samples: where answers are kept.
        undecided: says whether an item's vote is still open after the tries that it has.
        tries: tries of every item.
        most: most tries of an item whose vote is open.
    """

    def __init__(
        self,
        kernel: Kernel,
        samples: Samples,
        undecided: Callable[[Item, Sequence[Sample]], bool],
        tries: int,
        most: int,
    ) -> None:
        self._kernel = kernel
        self._samples = samples
        self._undecided = undecided
        self._tries = tries
        self._most = most

    def complete(self, number: int, item: Item) -> bool:
        """Whether an item has all its samples."""
        single = ["direct", "single", *(f"cut{cut}" for cut in CUTS)]
        return all(self._samples.of(number, kind) for kind in single) and not self._missing(number, item)

    def _missing(self, number: int, item: Item) -> int:
        """Tries to ask for next."""
        there = self._samples.of(number, "tries")
        wanted = self._tries - len(there)
        if wanted <= 0 and len(there) < self._most and self._undecided(item, there):
            wanted = self._most - len(there)
        return max(0, min(BLOCK, wanted))

    async def take(self, items: Sequence[Item], seconds: float, say: Say) -> int:
        """Take what is missing, item by item, until the time is up.

        Args:
            items: what to ask.
            seconds: nothing new is begun after that.
            say: takes progress.

        Returns:
            How many items are complete.
        """
        began = told = time.monotonic()
        todo = [number for number, item in enumerate(items) if not self.complete(number, item)]
        done = len(items) - len(todo)
        queue = iter(todo)

        async def work() -> None:
            nonlocal done, told
            for number in queue:
                while not self.complete(number, items[number]):
                    if time.monotonic() - began >= seconds:
                        return
                    await self._step(number, items[number])
                done += 1
                if time.monotonic() - told >= 10:
                    told = time.monotonic()
                    say(f"{done} of {len(items)} questions")

        await asyncio.gather(*(work() for _ in range(TOGETHER)))
        return done

    async def _step(self, number: int, item: Item) -> None:
        """One request of an item: what comes first of what it lacks."""
        of = self._samples.of
        if not of(number, "direct"):
            self._samples.add(number, "direct", [await self.direct(item)])
        elif not of(number, "single"):
            whole, tokens = await self._single(item)
            self._samples.add(number, "single", [whole])
            for cut in CUTS:
                if not of(number, f"cut{cut}"):
                    self._samples.add(number, f"cut{cut}", [await self._cut(item, whole, tokens, cut)])
        elif any(not of(number, f"cut{cut}") for cut in CUTS):  # ended between the two: once more
            whole, tokens = await self._single(item)
            for cut in CUTS:
                if not of(number, f"cut{cut}"):
                    self._samples.add(number, f"cut{cut}", [await self._cut(item, whole, tokens, cut)])
        else:
            there = len(of(number, "tries"))
            count = self._missing(number, item)
            self._samples.add(number, "tries", await self.tries(item, count, seed=number * 1000 + there))

    async def _rendered(self, item: Item, question: str) -> Rendered:
        return await self._kernel.render_chat([Message("system", item.system), Message("user", question)])

    async def direct(self, item: Item) -> Sample:
        """The answer without thoughts."""
        rendered = await self._rendered(item, item.question + _AT_ONCE)
        return (await self._ask(rendered.tokens, rendered.stop, 1, 0.0, 0, limit=_CLOSING_LIMIT))[0][0]

    async def tries(self, item: Item, count: int, seed: int) -> list[Sample]:
        """Several tries in one batch."""
        rendered = await self._rendered(item, item.question)
        return (await self._ask(rendered.tokens, rendered.stop, count, TEMPERATURE, seed))[0]

    async def _single(self, item: Item) -> tuple[Sample, list[int]]:
        rendered = await self._rendered(item, item.question)
        made, tokens = await self._ask(rendered.tokens, rendered.stop, 1, 0.0, 0)
        return made[0], tokens

    async def _cut(self, item: Item, whole: Sample, tokens: list[int], cut: int) -> Sample:
        """The single try with its thoughts ended after some tokens; itself when they were no longer."""
        closing = await self._kernel.tokenize(f"\n{THINK_CLOSE}\n", special=True)
        begin = await self._kernel.tokenize(THINK_OPEN, special=True)
        end = (await self._kernel.tokenize(THINK_CLOSE, special=True))[0]
        thoughts = tokens.index(end) if end in tokens else len(tokens)
        if not whole.thinking or tokens[: len(begin)] != begin or thoughts <= cut:
            return whole
        rendered = await self._rendered(item, item.question)
        prompt = [*rendered.tokens, *tokens[:cut], *closing]
        made = (await self._ask(prompt, rendered.stop, 1, 0.0, 0, limit=_CLOSING_LIMIT, opened=THINK_OPEN))[0][
            0
        ]
        return Sample(made.text, "", cut + made.tokens, made.logprob)

    async def _ask(
        self,
        prompt: Sequence[int],
        stop: Sequence[str],
        count: int,
        temperature: float,
        seed: int,
        *,
        limit: int = _LIMIT,
        opened: str = "",
    ) -> tuple[list[Sample], list[int]]:
        """Samples of one request, and the tokens of the first one."""
        texts, ends = [""] * count, [Finished("error")] * count
        tokens: list[int] = []
        request = GenerateRequest(
            prompt,
            sequence=f"item-{id(asyncio.current_task())}",
            max_tokens=limit,
            sampling=SamplingSettings(temperature=temperature, seed=seed),
            stop=stop,
            samples=count,
        )
        async for event in self._kernel.generate(request):
            if isinstance(event, Chunk):
                texts[event.sample] += event.text
                if event.sample == 0:
                    tokens.extend(event.tokens)
            elif isinstance(event, Finished):
                ends[event.sample] = event
        made: list[Sample] = []
        for text, end in zip(texts, ends, strict=True):
            parsed = self._kernel.parse_answer(f"{opened}\n{THINK_CLOSE}\n{text}" if opened else text)
            made.append(Sample(parsed.content, parsed.thinking, end.completion_tokens, end.mean_logprob))
        return made, tokens


async def pace(sampler: Sampler, items: Sequence[Item], together: int) -> dict[str, float]:
    """How fast the mode goes with one question at a time, on items that are not scored.

    Returns:
        ``direct``: seconds of a direct answer; ``one`` and ``several``: tokens per second of one try
        alone and of ``together`` tries in a batch, reading the prompt included.
    """
    spent: dict[str, Any] = {"direct": 0.0, "one": 0.0, "several": 0.0}
    tokens = {"one": 0, "several": 0}
    for number, item in enumerate(items):
        began = time.perf_counter()
        await sampler.direct(item)
        spent["direct"] += time.perf_counter() - began
        for name, count in (("one", 1), ("several", together)):
            began = time.perf_counter()
            made = await sampler.tries(item, count, seed=number)
            spent[name] += time.perf_counter() - began
            tokens[name] += sum(one.tokens for one in made)
    return {
        "direct": spent["direct"] / len(items),
        "one": tokens["one"] / spent["one"],
        "several": tokens["several"] / spent["several"],
    }
