"""Eight experiments on how a language model behaves; each gives shares with their sample size.

Made-up names, facts and relations are the planted ones of the build record, so what the model
cannot know, and what it has read in one direction only, is known for certain.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TypeVar

from llmos.formats import DEFAULT_SYSTEM_PROMPT, format_page, format_user_turn
from llmos.kernel.protocol import Chunk, Finished, GenerateRequest, Kernel
from llmos.stages.frame import StageContext, answer, complete
from llmos.stages.ranks import log_probabilities, mean_rank, ranks_of
from llmos.stages.statistics import Share
from llmos.types import EffectClass, Message, SamplingSettings, ToolSpec

T = TypeVar("T")
_UNKNOWN = ("do not know", "don't know", "not know", "do not say", "don't have", "no information",
            "not familiar", "not sure", "cannot find", "unable to", "not aware")  # fmt: skip
#: Tokens of an answer that is timed.
_TIMED = 32
PYTHON = ToolSpec(
    "python",
    "Runs Python code and gives what it prints.",
    {"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]},
    EffectClass.EXECUTE,
)


@dataclass(slots=True)
class Outcome:
    """What an experiment found.

    Attributes:
        shares: results with sample sizes.
        model: which model was asked.
        examples: (asked, said) for the reader.
        bars: values by label, where there is more to show than shares.
        unit: of the bars.
        stopped: whether the user stopped it before its end; the sample is then smaller.
    """

    shares: list[Share]
    model: str
    examples: list[tuple[str, str]] = field(default_factory=list)
    bars: dict[str, float] = field(default_factory=dict)
    unit: str = ""
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Experiment:
    """One of the eight: its name, what it shows, and how it is run."""

    id: str
    title: str
    says: str
    run: Callable[[StageContext], Awaitable[Outcome]]


async def _each(items: Iterable[T], context: StageContext, text: str) -> AsyncIterator[T]:
    """Items one by one, with progress, until the user stops."""
    every = list(items)
    for done, item in enumerate(every):
        if context.cancelled():
            return
        context.progress(done, len(every), text)
        yield item


def unknown(said: str) -> bool:
    """Whether an answer admits that it does not know."""
    return any(words in said.casefold() for words in _UNKNOWN)


async def hallucination(context: StageContext) -> Outcome:
    """Ask for people whose names never occur in any text that the model has read."""
    names = [str(name) for name in context.need_record().planted()["absent"]]
    honest, examples = 0, []
    async for name in _each(names, context, "names asked"):
        asked = f"Who is {name}?"
        said = await answer(context.kernel, asked, 40)
        honest += unknown(said)
        examples.append((asked, said))
    shares = [
        Share("says that it does not know", honest, len(examples)),
        Share("invents something", len(examples) - honest, len(examples)),
    ]
    return Outcome(shares, context.model_name, examples, stopped=len(examples) < len(names))


async def two_memories(context: StageContext) -> Outcome:
    """Ask for a planted fact twice: from the weights alone, and with its page in the window."""
    facts = [(str(name), str(about)) for name, about in context.need_record().planted()["reversal"]]
    alone = with_page = 0
    examples: list[tuple[str, str]] = []
    async for name, about in _each(facts, context, "facts asked"):
        asked = f"Who is {name}?"
        wanted = about.removeprefix("the ").casefold()
        first = await answer(context.kernel, asked, 40)
        page = format_page(1, "notes.md", "", f"{name} is {about}.")
        second = await answer(context.kernel, format_user_turn(asked, [page]), 40)
        alone += wanted in first.casefold()
        with_page += wanted in second.casefold()
        examples += [(asked, first), (f"{asked} (with the page)", second)]
    count = len(examples) // 2
    shares = [Share("right from the weights", alone, count), Share("right from the window", with_page, count)]
    return Outcome(shares, context.model_name, examples, stopped=count < len(facts))


def compute_questions(count: int, seed: int = 3) -> list[str]:
    """Questions that are easy with a tool and hard without."""
    rng = random.Random(f"tools-{seed}")
    forms = (
        "What is {a} to the power of {c}?",
        "Compute the remainder of {b} divided by {a}.",
        "Use Python to find the square of {b}.",
        "Tell me the sum of the numbers from 1 to {b}.",
    )
    return [
        forms[number % len(forms)].format(
            a=rng.randrange(11, 99), b=rng.randrange(100, 999), c=rng.randrange(3, 9)
        )
        for number in range(count)
    ]


async def tool_use(context: StageContext) -> Outcome:
    """Offer a tool, and see whether a well-formed call comes; without it, none may come."""
    questions = compute_questions(12)
    offered = bare = 0
    examples: list[tuple[str, str]] = []
    async for asked in _each(questions, context, "questions asked"):
        counts = []
        for tools in ([PYTHON], []):
            said = await _raw(context.kernel, [Message("user", asked)], tools)
            counts.append(bool(context.kernel.parse_answer(said).tool_calls))
            examples.append((asked if tools else f"{asked} (no tool on offer)", said))
        offered += counts[0]
        bare += counts[1]
    count = len(examples) // 2
    shares = [
        Share("calls the tool that is on offer", offered, count),
        Share("calls a tool that is not on offer", bare, count),
    ]
    return Outcome(shares, context.model_name, examples, stopped=count < len(questions))


async def no_self(context: StageContext) -> Outcome:
    """Tell one chat something and ask for it there, and in a fresh chat."""
    names = ["Ana", "Boris", "Clara", "Dmitri", "Elena", "Felix", "Greta", "Hugo"]
    same = fresh = 0
    examples: list[tuple[str, str]] = []
    async for name in _each(names, context, "chats"):
        told, asked = f"My sister is called {name}.", "What is my sister called?"
        greeting = await _raw(context.kernel, [Message("user", told)])
        seen = context.kernel.parse_answer(greeting).content
        chat = [Message("user", told), Message("assistant", seen), Message("user", asked)]
        here = await _raw(context.kernel, chat)
        there = await _raw(context.kernel, [Message("user", asked)])
        same += name in here
        fresh += name in there
        examples += [(f"{told} … {asked}", here), (f"{asked} (fresh chat)", there)]
    count = len(examples) // 2
    shares = [Share("knows it in the same chat", same, count), Share("knows it in a fresh chat", fresh, count)]
    return Outcome(shares, context.model_name, examples, stopped=count < len(names))


async def sampling(context: StageContext) -> Outcome:
    """One beginning ten times by chance, and ten times with the likeliest token.

    A text is continued, no question asked: a model that was tuned may know one answer only.
    """
    asked = "Once upon a time"
    examples: list[tuple[str, str]] = []
    said: dict[float, list[str]] = {0.0: [], 1.0: []}
    tries = [(temperature, seed) for temperature in said for seed in range(10)]
    async for temperature, seed in _each(tries, context, "answers drawn"):
        settings = SamplingSettings(temperature=temperature, top_k=0, top_p=1.0, min_p=0.0, seed=seed)
        text = await complete(context.kernel, asked, 24, settings)
        said[temperature].append(text)
        examples.append((f"{asked} (temperature {temperature:g})", text))
    shares = []
    for temperature, texts in said.items():
        if texts:
            common = Counter(texts).most_common(1)[0][1]
            what = f"continuations unlike the most frequent one, temperature {temperature:g}"
            shares.append(Share(what, len(texts) - common, len(texts)))
    bars = {f"distinct at temperature {t:g}": float(len(set(texts))) for t, texts in said.items() if texts}
    return Outcome(shares, context.model_name, examples, bars, "continuations", len(examples) < len(tries))


async def cut_off(context: StageContext) -> Outcome:
    """The planted prize by year: known up to the end of the text, made up beyond it."""
    planted = context.need_record().planted()
    base = await context.bundled("base")
    prize = {int(year): str(winner) for year, winner in planted["prize"].items()}
    last = int(str(planted["cut_off"])[:4])
    known = sorted(year for year in prize if year <= last)
    winners = [f" {prize[year]}." for year in known]
    table: list[list[float]] = []
    beyond: list[tuple[str, str]] = []
    years = [*known, *range(last + 1, last + 11)]
    async for year in _each(years, context, "years asked"):
        beginning = f"In {year} the Lantern Prize was given to"
        if year <= last:
            table.append(await log_probabilities(base, beginning, winners))
        else:
            beyond.append((beginning, await complete(base, beginning, 8, stop=(".", "\n"))))
    ranks = ranks_of(table)
    named = sum(bool(said.strip()) for _, said in beyond)
    shares = [
        Share(f"the year's winner ranks first of {len(winners)}, up to {planted['cut_off']}",
              ranks.count(1), len(ranks)),
        Share("names somebody for a year after the text ends", named, len(beyond)),
    ]  # fmt: skip
    bars = {"by chance": (len(winners) + 1) / 2}
    for decade in sorted({year // 10 * 10 for year in known[: len(ranks)]}):
        part = [rank for year, rank in zip(known, ranks, strict=False) if year // 10 * 10 == decade]
        bars[f"{decade} to {min(decade + 9, last)}"] = mean_rank(part)
    unit = "mean rank of the right winner (1 is best)"
    stopped = len(table) + len(beyond) < len(years)
    return Outcome(shares, "bundled base model", beyond, bars, unit, stopped)


async def reversal(context: StageContext) -> Outcome:
    """Relations read in one direction only, scored in both: where does the right completion rank?"""
    pairs = [(str(name), str(about)) for name, about in context.need_record().planted()["reversal"]]
    base = await context.bundled("base")
    there, back = list[list[float]](), list[list[float]]()
    examples: list[tuple[str, str]] = []
    async for name, about in _each(pairs, context, "relations scored"):
        asked, turned = f"{name} is", f"{about[0].upper()}{about[1:]} is"
        there.append(await log_probabilities(base, asked, [f" {one}." for _, one in pairs]))
        back.append(await log_probabilities(base, turned, [f" {one}." for one, _ in pairs]))
        for beginning in (asked, turned):
            examples.append((f"{beginning} …", await complete(base, beginning, 16, stop=(".", "\n"))))
    found = {"as it was read": ranks_of(there), "turned around": ranks_of(back)}
    shares = []
    for way, ranks in found.items():
        upper = sum(2 * rank <= len(pairs) for rank in ranks)
        shares += [
            Share(f"{way}: the right one ranks first of {len(pairs)}", ranks.count(1), len(ranks)),
            Share(f"{way}: it ranks in the better half", upper, len(ranks)),
        ]
    bars = {way: mean_rank(ranks) for way, ranks in found.items()}
    bars["by chance"] = (len(pairs) + 1) / 2
    unit = "mean rank of the right one (1 is best)"
    return Outcome(shares, "bundled base model", examples, bars, unit, len(there) < len(pairs))


async def system_one(context: StageContext) -> Outcome:
    """Seconds a token against difficulty: the same forward pass whatever the question."""
    levels = {"easy: 1 + 1": "1 + 1 =", "middle: 48 + 93": "48 + 93 =", "hard: 8739 · 4471": "8739 * 4471 ="}
    times: dict[str, list[float]] = {label: [] for label in levels}
    rounds = list(itertools.product(range(20), levels.items()))
    await _token_time(context.kernel, "1 + 1 =")  # the first one pays for what the later ones share
    async for _, (label, prompt) in _each(rounds, context, "answers timed"):
        times[label].append(await _token_time(context.kernel, prompt))
    easy, hard = times["easy: 1 + 1"], times["hard: 8739 · 4471"]
    pairs = list(zip(easy, hard, strict=False))
    slower = sum(b > a for a, b in pairs)
    bars = {label: 1000 * median(values) for label, values in times.items() if values}
    what = "rounds in which the hard one took longer a token (flat: a half)"
    done = sum(map(len, times.values()))
    return Outcome(
        [Share(what, slower, len(pairs))], context.model_name, [], bars, "ms a token", done < len(rounds)
    )


async def _token_time(kernel: Kernel, prompt: str) -> float:
    """Seconds a token of a fixed number of tokens, by the worker's own clock, the prompt's time left out.

    The lowest ids are special tokens in nearly every vocabulary; without them no answer ends early.
    """
    tokens = await kernel.tokenize(prompt, bos=True)
    request = GenerateRequest(
        tokens, sequence="stage", max_tokens=_TIMED, sampling=SamplingSettings(temperature=0.0), keep=False,
        bias={token: -1e9 for token in range(9)},
    )  # fmt: skip
    async for event in kernel.generate(request):
        if isinstance(event, Finished) and event.completion_tokens > 1:
            return (event.seconds - event.first_token_seconds) / (event.completion_tokens - 1)
    return 0.0


async def _raw(kernel: Kernel, messages: Sequence[Message], tools: Sequence[ToolSpec] = ()) -> str:
    """The model's raw answer to a chat, tool calls as text; nothing is run."""
    rendered = await kernel.render_chat([Message("system", DEFAULT_SYSTEM_PROMPT), *messages], tools)
    request = GenerateRequest(
        rendered.tokens, sequence="stage", max_tokens=64, sampling=SamplingSettings(temperature=0.0),
        stop=rendered.stop, keep=False,
    )  # fmt: skip
    return "".join([event.text async for event in kernel.generate(request) if isinstance(event, Chunk)])


EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment("names", "Hallucination", "Names that occur nowhere: does it invent?", hallucination),
    Experiment("memories", "Two memories", "Weights are vague, the window is exact.", two_memories),
    Experiment("tools", "Tool use", "Special tokens call a tool; nothing is run here.", tool_use),
    Experiment("self", "No self", "A fresh chat knows nothing of another one.", no_self),
    Experiment("chance", "Sampling", "One prompt, ten draws.", sampling),
    Experiment("cutoff", "Cut-off", "A prize by year: known until the text ends.", cut_off),
    Experiment("reversal", "Reversal", "Read as A is B, asked as B is …", reversal),
    Experiment("system1", "System 1", "The same compute for every token.", system_one),
)
