"""``llmos bench reason``: does time buy accuracy, and what does a batch of tries cost?

Held-out sums and differences (operands of a range that no training item holds). Every question is
answered ``tries`` times; single answer, majority of N and the adaptive rule are then judged by
replaying the same samples. Intervals are 95 %, Wilson's for shares and paired by bootstrap for
differences.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmos.bench.figures import Figure, figure
from llmos.kernel.client import KernelClient
from llmos.kernel.locate import resolve
from llmos.kernel.protocol import Chunk, Finished, GenerateRequest, LoadRequest
from llmos.stages.statistics import wilson
from llmos.types import Message, SamplingSettings

Say = Callable[[str], None]
_SIZES = (1, 2, 4, 8, 16)


@dataclass(frozen=True, slots=True)
class Item:
    """A question with its true answer."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One try: normalised answer, tokens, mean log-probability."""

    key: str
    tokens: int
    logprob: float


def make_items(count: int, seed: int = 5) -> list[Item]:
    """Sums and differences of held-out operands, in held-out order."""
    from llmos.foundry.tasks.arithmetic import HELD_RANGE, WORDINGS, evaluate

    rng = random.Random(f"reasoning-{seed}")
    items = []
    for _ in range(count):
        a, b = rng.choice(HELD_RANGE), rng.choice(HELD_RANGE)
        sign = rng.choice("+-")
        if sign == "-" and a < b:
            a, b = b, a
        wording = rng.choice(WORDINGS[sign])
        items.append(Item(wording.format(a=a, b=b), str(evaluate(a, sign, b))))
    return items


def paired_lower(better: Sequence[bool], worse: Sequence[bool], rounds: int = 2000) -> float:
    """Lower bound of the 95 % interval of mean(better) - mean(worse), by paired bootstrap."""
    gaps = [int(a) - int(b) for a, b in zip(better, worse, strict=True)]
    rng = random.Random(1)
    means = sorted(sum(rng.choices(gaps, k=len(gaps))) / len(gaps) for _ in range(rounds))
    return means[int(0.025 * rounds)]


def majority(samples: Sequence[Sample]) -> str:
    """The answer with most votes; ties go to the better mean log-probability."""
    from llmos_reason.voting import Tally, Try

    tally = Tally()
    for one in samples:
        tally.add(Try(one.key, "", one.key, one.tokens, one.logprob))
    won = tally.winner()
    return won[0].key if won else ""


def adaptive(samples: Sequence[Sample], threshold: float = 0.95) -> tuple[str, int]:
    """Answer and tokens of the stopping rule, replayed on samples in their order."""
    from llmos_reason.voting import Tally, Try

    tally = Tally(threshold)
    for one in samples:
        tally.add(Try(one.key, "", one.key, one.tokens, one.logprob))
        if tally.decided:
            break
    won = tally.winner()
    return (won[0].key if won else ""), tally.tokens


async def _answers(
    kernel: KernelClient, question: str, samples: int, temperature: float, direct: bool = False
) -> tuple[list[Sample], float]:
    from llmos_reason.answers import key_of

    rendered = await kernel.render_chat([Message("user", question)])
    prompt = list(rendered.tokens)
    if direct:  # no thinking: the answer must begin at once
        prompt += await kernel.tokenize("It is", special=False)
    texts, tokens, logs = [""] * samples, [0] * samples, [0.0] * samples
    began = time.perf_counter()
    request = GenerateRequest(
        prompt,
        sequence="bench",
        max_tokens=160,
        sampling=SamplingSettings(temperature=temperature),
        stop=rendered.stop,
        samples=samples,
    )
    async for event in kernel.generate(request):
        if isinstance(event, Chunk):
            texts[event.sample] += event.text
        elif isinstance(event, Finished):
            tokens[event.sample], logs[event.sample] = event.completion_tokens, event.mean_logprob
    seconds = time.perf_counter() - began
    keys = [key_of(kernel.parse_answer(text).content, question) for text in texts]
    return [Sample(*one) for one in zip(keys, tokens, logs, strict=True)], seconds


async def _accuracy(model: str, count: int, tries: int, say: Say) -> list[Figure]:
    kernel = KernelClient()
    items = make_items(count)
    try:
        await kernel.load(LoadRequest(resolve(model).path, context=4096, max_sequences=12))
        direct: list[bool] = []
        greedy: list[bool] = []
        rows: list[list[Sample]] = []
        spent = {size: 0.0 for size in (0, *_SIZES)}
        for number, item in enumerate(items):
            one, seconds = await _answers(kernel, item.question, 1, 0.0, direct=True)
            direct.append(one[0].key == item.answer)
            spent[0] += seconds
            one, seconds = await _answers(kernel, item.question, 1, 0.0)
            greedy.append(one[0].key == item.answer)
            spent[1] += seconds
            row: list[Sample] = []
            while len(row) < tries:
                more, seconds = await _answers(kernel, item.question, min(8, tries - len(row)), 0.7)
                row += more
                for size in _SIZES[1:]:
                    if len(row) - len(more) < size:
                        spent[size] += seconds * min(1.0, (size - len(row) + len(more)) / len(more))
            rows.append(row)
            if number % 20 == 0:
                say(f"question {number} of {count}")
    finally:
        await kernel.close()
    return _curve(items, direct, greedy, rows, spent)


def _curve(
    items: Sequence[Item],
    direct: Sequence[bool],
    greedy: Sequence[bool],
    rows: Sequence[Sequence[Sample]],
    spent: dict[int, float],
) -> list[Figure]:
    count = len(items)
    figures = [
        *_share("direct", direct, spent[0] / count),
        *_share("thinking, one try", greedy, spent[1] / count),
    ]
    votes: dict[int, list[bool]] = {}
    for size in _SIZES[1:]:
        if size <= len(rows[0]):
            pairs = zip(rows, items, strict=True)
            votes[size] = [majority(row[:size]) == item.answer for row, item in pairs]
            figures += _share(f"majority of {size}", votes[size], spent[size] / count)
    largest = max(votes)
    replayed = [adaptive(row[:largest]) for row in rows]
    right = [key == item.answer for (key, _), item in zip(replayed, items, strict=True)]
    used = sum(tokens for _, tokens in replayed)
    whole = sum(sample.tokens for row in rows for sample in row[:largest])
    figures += _share("adaptive", right, 0.0)
    figures += [
        figure("tokens saved by stopping early", 1 - used / max(1, whole), "share", ">=", 0.4),
        figure(
            "adaptive minus majority, lower bound", paired_lower(right, votes[largest]), "share", ">=", -0.02
        ),
        figure("thinking minus direct, lower bound", paired_lower(greedy, direct), "share", ">=", 0.0),
        figure(
            f"majority of {largest} minus one try, lower bound", paired_lower(votes[largest], greedy), "share"
        ),
    ]
    return figures


def _share(name: str, right: Sequence[bool], seconds: float) -> list[Figure]:
    low, high = wilson(sum(right), len(right))
    share = sum(right) / len(right)
    out = [figure(f"{name} ({low:.0%} to {high:.0%}, n={len(right)})", share, "share")]
    if seconds:
        out.append(figure(f"{name}: seconds a question", seconds, "s"))
    return out


async def _batch(shape: str, rounds: int, say: Say) -> list[Figure]:
    """Eight tries of 128 tokens from one prefix of 1,000, together against one after the other."""
    from llmos.bench.random_gguf import B1, M135, write_random_gguf

    with tempfile.TemporaryDirectory(prefix="llmos-reasoning-") as folder:
        say(f"writing random weights: {shape}")
        path = write_random_gguf(Path(folder) / "m.gguf", {"135M": M135, "1B": B1}[shape], quantisation="Q8_0")
        kernel = KernelClient()
        ratios = []
        try:
            info = await kernel.load(LoadRequest(path, context=4096, max_sequences=12))
            rng = random.Random(2)
            prompt = [rng.randrange(300, info.vocabulary) for _ in range(1000)]

            async def decode(samples: int) -> float:
                began = time.perf_counter()
                request = GenerateRequest(
                    prompt, sequence="bench", max_tokens=128, sampling=SamplingSettings(temperature=1.0),
                    samples=samples, bias={token: -1e9 for token in range(9)},
                )  # fmt: skip
                async for _ in kernel.generate(request):
                    pass
                return time.perf_counter() - began

            await decode(1)  # the prefix is in the cache for both
            for _ in range(rounds):
                together = await decode(8)
                apart = sum([await decode(1) for _ in range(8)])
                ratios.append(together / apart)
                say(f"{shape}: {ratios[-1]:.3f}")
        finally:
            await kernel.close()
    middle = sorted(ratios)[len(ratios) // 2]
    relation: Any = "<=" if shape == "135M" else ""
    return [figure(f"8 tries together to one after the other, {shape}", middle, "ratio", relation, 0.6)]


def run(
    model: str = "",
    items: int = 200,
    tries: int = 16,
    shapes: str = "135M",
    rounds: int = 3,
    quick: bool = False,
    say: Say = lambda text: None,
    **_: Any,
) -> list[Figure]:
    """Run the benchmark.

    Args:
        model: name or path; empty takes the bundled one.
        items: questions.
        tries: samples a question.
        shapes: random-weight shapes for the batch, by comma: ``135M``, ``1B``; empty for none.
        rounds: repetitions of the batch; the median counts.
        quick: fewer of everything.
        say: takes progress.
    """
    if quick:
        items, tries, rounds, shapes = 20, 4, 1, ""
    figures = asyncio.run(_accuracy(model, int(items), int(tries), say))
    for shape in filter(None, shapes.split(",")):
        figures += asyncio.run(_batch(shape, int(rounds), say))
    return figures
