"""``llmos bench reason``: does time buy accuracy, is it kept, and what does a batch of tries cost?

Samples are taken once, kept in the cache folder by the model's hash, and replayed as a single try,
as majorities and as the adaptive vote; a run that its deadline ends is gone on with by the next one.
Intervals are 95 %: Wilson's for shares, by paired bootstrap for differences on the same items.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from llmos.bench.figures import Figure, figure
from llmos.bench.plot import Dot, Series, plot
from llmos.bench.reasoning_curve import MOST_TRIES, Point, Replay, paired, undecided
from llmos.bench.reasoning_items import Item, make_items
from llmos.bench.reasoning_samples import BLOCK, TOGETHER, Sampler, Samples, pace
from llmos.kernel.client import KernelClient
from llmos.kernel.locate import resolve
from llmos.kernel.protocol import LoadRequest
from llmos.settings import folders
from llmos.types import ToolResult, UserError

Say = Callable[[str], None]
PARTS = ("curve", "use", "batch")
#: Tries that the plugin decodes together when nothing else is set.
_TOGETHER = 4
_PACE_SEED = 1_000
#: Of the questions that are scored; nothing is chosen by them.
SEED = 5


def samples_file(model_hash: str, items: Sequence[Item]) -> Path:
    """Where the samples of a model on these items are kept."""
    text = "\n".join(f"{one.system}|{one.question}|{one.answer}" for one in items[:10])
    asked = hashlib.sha256(text.encode()).hexdigest()[:8]
    return folders().cache / "bench" / f"reasoning-{model_hash[:12]}-{asked}.jsonl"


async def _sample(
    model: str, items: Sequence[Item], tries: int, seconds: float, threads: int, say: Say
) -> tuple[Replay, int]:
    """Take what is missing; gives the complete items and how many there are."""
    path = resolve(model).path
    kernel = KernelClient()
    try:
        request = LoadRequest(path, context=8192, max_sequences=BLOCK * TOGETHER + 4, threads=threads)
        info = await kernel.load(request)
        samples = Samples(samples_file(info.sha256_head, items))
        sampler = Sampler(kernel, samples, undecided, tries, max(tries, MOST_TRIES))
        say(f"samples in {samples.path}")
        done = await sampler.take(items, seconds, say)
        await kernel.load(replace(request, threads=0))  # the pace is that of the program itself
        measured = await pace(sampler, make_items(10, seed=_PACE_SEED), _TOGETHER)
        say(
            f"pace: direct {measured['direct']:.2f} s, one try {measured['one']:.0f} tokens/s, "
            f"{_TOGETHER} together {measured['several']:.0f} tokens/s"
        )
        numbers = [number for number, item in enumerate(items) if sampler.complete(number, item)]
    finally:
        await kernel.close()
    return Replay(items, samples, measured, numbers), done


async def check_by_running(replay: Replay, say: Say) -> dict[int, list[tuple[str, bool]]]:
    """Verdicts of every kept try, run in the code plugin's sandbox; empty where none holds."""
    from llmos_code.limits import Limits
    from llmos_code.runner import Runner
    from llmos_code.tiers import Tiers
    from llmos_reason.answers import key_of
    from llmos_reason.checks import Checker
    from llmos_reason.voting import Try

    found: dict[int, list[tuple[str, bool]]] = {}
    with tempfile.TemporaryDirectory(prefix="llmos-reasoning-") as folder:
        runner = Runner(Path(folder), Limits(), Tiers("auto"))

        async def call(name: str, arguments: Mapping[str, Any]) -> ToolResult:
            result = await asyncio.to_thread(runner.run, str(arguments["code"]))
            return ToolResult(result.output or result.error, result.ok)

        try:
            for done, number in enumerate(replay.numbers):
                if done % 40 == 39:
                    say(f"tries of {done + 1} of {len(replay.numbers)} questions checked by running")
                question = replay.items[number].question
                checker = Checker(call, question)
                verdicts: list[tuple[str, bool]] = []
                for one in replay.samples.of(number, "tries"):
                    key = key_of(one.text, question)
                    tried = await checker.checked(Try(one.text, one.thinking, key, one.tokens, one.logprob))
                    verdicts.append((tried.check.verdict, tried.check.decisive))
                found[number] = verdicts
        except UserError as error:
            say(f"nothing is checked by running: {error}")
            return {}
        finally:
            runner.close()
    return found


def curve_figures(replay: Replay, tries: int, wanted: int) -> tuple[list[Figure], list[Point]]:
    """Every figure of the replayed samples, and the points of the plot.

    Args:
        replay: the complete items.
        tries: tries of every item.
        wanted: items that were to be asked.
    """
    count = len(replay.numbers)
    figures = [figure("questions with all their samples", count, "questions", ">=", wanted)]
    if not count:
        return figures, []
    direct, single = replay.direct(), replay.single()
    majorities, adaptive, checked = replay.majorities(tries), replay.adaptive(), replay.checked()
    points = [direct, *replay.cuts(), single, *majorities, *adaptive, *checked]
    for point in points:
        low, high = point.interval
        figures.append(
            figure(f"{point.name} ({low:.0%} to {high:.0%}, n={count}): right", point.share, "share")
        )
        figures.append(figure(f"{point.name}: seconds a question", point.seconds, "s"))
    for kind in dict.fromkeys(item.kind for item in replay.items):
        part = replay.of_kind(kind)
        if part.numbers:
            voted = [part.majorities(tries)[-1], part.adaptive()[-1], *part.checked()[-1:]]
            ways = [part.direct(), part.single(), *voted]
            figures += [figure(f"{kind} (n={len(part.numbers)}), {w.name}", w.share, "share") for w in ways]
    largest = majorities[-1]
    early = replay.voted("adaptive", f"adaptive of {tries}", most=tries, early=True)
    figures += [
        *_difference("thinking minus direct", single, direct, 0.0),
        *_difference(f"{largest.name} minus one try", largest, single, None),
        *_difference("adaptive, 30 s allowed, minus one try", adaptive[-1], single, None),
        *_difference(f"{early.name} minus {largest.name}", early, largest, -0.02),
        figure(
            f"tokens saved by stopping early, of {tries} tries",
            1 - early.tokens / max(1e-9, largest.tokens),
            "share",
            ">=",
            0.4,
        ),
    ]
    if checked:
        figures += _difference("checked minus adaptive, 30 s allowed", checked[-1], adaptive[-1], None)
    return figures, points


def _difference(name: str, better: Point, worse: Point, least: float | None) -> list[Figure]:
    """A difference and the lower end of its interval, which the target is about."""
    mean, low, high = paired(better.right, worse.right)
    said = figure(f"{name} ({low:+.1%} to {high:+.1%})", mean, "share")
    if least is None:
        return [said]
    return [said, figure(f"{name}, lower end", low, "share", ">=", least)]


def drawing(points: Sequence[Point], model: str) -> str:
    """The curve as SVG."""
    names = {
        "single": "direct; one try, its thoughts cut or whole",
        "majority": "majority of 2 to 32 tries",
        "adaptive": "adaptive vote, 1 to 30 s allowed",
        "checked": "the same, tries checked by running",
    }
    dots: dict[str, list[Dot]] = {name: [] for name in names}
    for point in points:
        low, high = point.interval
        dot = Dot(max(point.seconds, 1e-3), point.share, low, high)
        dots["single" if point.series == "direct" else point.series].append(dot)
    series = [
        Series(names[name], tuple(sorted(found, key=lambda dot: dot.x)))
        for name, found in dots.items()
        if found
    ]
    count = len(points[0].right)
    title = f"{model}: {count} held-out questions, from a direct answer on"
    return plot(title, "mean seconds a question, logarithmic", "share of right answers, 95 % interval", series)


async def _curve(
    model: str, asked: list[Item], tries: int, seconds: float, threads: int, target: str, say: Say
) -> list[Figure]:
    items = len(asked)
    replay, done = await _sample(model, asked, tries, seconds, threads, say)
    if done < items:
        say(f"{done} of {items} questions have all their samples; run the command again to go on")
    replay.checks = await check_by_running(replay, say)
    figures, points = curve_figures(replay, tries, items)
    if target and points:
        path = Path(target)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(drawing(points, resolve(model).path.stem.removesuffix("-Q8_0")), "utf-8")
        say(f"drawn into {path}")
    return figures


def run(
    model: str = "",
    items: int = 200,
    tries: int = 32,
    seconds: float = 150.0,
    threads: int = 0,
    parts: str = "curve,use,batch",
    shapes: str = "135M",
    rounds: int = 3,
    new: int = 128,
    plot: Any = "",
    seed: int = SEED,
    quick: bool = False,
    say: Say = lambda text: None,
    **_: Any,
) -> list[Figure]:
    """Run the benchmark.

    Args:
        model: name or path; empty takes the bundled one.
        items: questions.
        tries: samples a question; items whose vote is open then get up to 128.
        seconds: of sampling; the next run goes on where this one ended.
        threads: of sampling; 0 lets the kernel choose.
        parts: out of ``curve``, ``use``, ``batch``, by comma.
        shapes: random-weight shapes for the batch, by comma: ``135M``, ``1B``.
        rounds: repetitions of ``use`` and ``batch``.
        new: tokens of each try of the batch.
        plot: file for the curve as SVG; empty draws none.
        seed: of the questions; another one than the default is for trying things out.
        quick: fewer of everything.
        say: takes progress.

    Raises:
        UserError: no such part or shape.
    """
    chosen = [part.strip() for part in str(parts).split(",") if part.strip()]
    sizes = [size.strip() for size in str(shapes).split(",") if size.strip()]
    if unknown := [part for part in chosen if part not in PARTS]:
        raise UserError(f"There is no part {', '.join(unknown)}; there are {', '.join(PARTS)}.")
    if unknown := [size for size in sizes if size not in ("135M", "1B")]:
        raise UserError(f"There is no shape {', '.join(unknown)}; there are 135M and 1B.")
    if quick:
        items, tries, rounds, new = min(int(items), 25), min(int(tries), 8), 1, min(int(new), 24)
    figures: list[Figure] = []
    if "curve" in chosen:
        figures += asyncio.run(
            _curve(
                model,
                make_items(int(items), int(seed)),
                int(tries),
                float(seconds),
                int(threads),
                str(plot),
                say,
            )
        )
    if "use" in chosen:
        from llmos.bench.reasoning_use import measure

        allowed = (1.0,) if quick else (1.0, 3.0)
        figures += asyncio.run(measure(model, allowed, 2 if quick else 5, say))
    if "batch" in chosen:
        from llmos.bench.reasoning_batch import measure as measure_batch

        for shape in sizes:
            figures += asyncio.run(measure_batch(shape, int(rounds), int(new), say))
    return figures
