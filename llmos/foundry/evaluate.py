"""Stage 9, evaluation: generated held-out items, answered by a GGUF file through the kernel."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmos.foundry.answering import LANES, LIMIT, Answerers, collect
from llmos.foundry.render import rendered_text
from llmos.foundry.scoring import last_number, paired_interval, score, visible, wilson
from llmos.foundry.tasks import arithmetic, help, memory, pages, prose, refuse, smalltalk, tools
from llmos.foundry.tasks.base import Conversation, Generator, Split

if TYPE_CHECKING:
    from llmos.kernel.client import KernelClient

#: Name, generator and split of every ability that is measured.
ABILITIES: dict[str, tuple[Generator, Split]] = {
    "help_trained_phrasing": (help.ask_help, Split.NAMES),
    "help_new_phrasing": (help.ask_help, Split.PHRASES),
    "small_talk_new_phrasing": (smalltalk.small_talk, Split.PHRASES),
    "pages_new_names": (pages.answer_from_pages, Split.NAMES),
    "pages_new_questions": (pages.answer_from_pages, Split.PHRASES),
    "pages_new_relations": (pages.answer_from_pages, Split.RELATIONS),
    "prose_new_sentences": (prose.answer_from_prose, Split.NAMES),
    "absent_new_names": (pages.absent_from_pages, Split.NAMES),
    "absent_new_prose": (prose.absent_from_prose, Split.NAMES),
    "absent_new_relations": (pages.absent_from_pages, Split.RELATIONS),
    "tools_trained_phrasing": (tools.use_tool, Split.NAMES),
    "tools_new_phrasing": (tools.use_tool, Split.PHRASES),
    "single_digits": (arithmetic.small_sum, Split.NAMES),
    "steps_new_pairs": (arithmetic.sum_by_steps, Split.NAMES),
    "steps_new_range": (arithmetic.sum_by_steps, Split.RELATIONS),
    "direct_new_pairs": (arithmetic.direct, Split.NAMES),
    "word_problems": (arithmetic.word_problem, Split.NAMES),
    "told_in_conversation": (memory.told_and_asked, Split.NAMES),
    "unknown": (refuse.not_known, Split.PHRASES),
    "refusal": (refuse.refuse_harm, Split.PHRASES),
}
#: The score that stands for an ability in tables.
MAIN_SCORE = {"tools_trained_phrasing": "exact_call", "tools_new_phrasing": "exact_call"}
#: The ability that is voted on, and the results of voting.
_VOTED = "steps_new_pairs"
VOTING = ("steps_sampled", "steps_majority_4", "steps_majority_16")


@dataclass
class Result:
    """Scores of one ability.

    Attributes:
        count: number of items.
        scores: each score's value on every item.
        source: digest of the model file and the items' prompts; empty where it was not noted.
        groups: number of each item's prompt: those that were drawn more than once share one. Empty
            where all differ.
    """

    count: int
    scores: dict[str, list[float]] = field(default_factory=dict)
    source: str = ""
    groups: list[int] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Share, lower and upper 95 % bound of every score.

        ``n`` counts the items and ``distinct`` their different prompts, of which the bounds are: asking
        one thing twice tells nothing new.
        """
        distinct = len(set(self.groups)) or self.count
        found: dict[str, Any] = {"n": self.count, "distinct": distinct}
        for name, values in self.scores.items():
            right = sum(values)
            low, high = wilson(right * distinct / max(1, self.count), distinct)
            found[name] = {"value": round(right / self.count, 4), "low": round(low, 4), "high": round(high, 4)}
        return found


def items(ability: str, count: int, seed: int) -> list[Conversation]:
    """The held-out conversations of an ability; the same seed gives the same ones.

    Raises:
        ValueError: no such ability.
    """
    if ability not in ABILITIES:
        raise ValueError(f"no ability '{ability}': choose among {', '.join(ABILITIES)}")
    make, split = ABILITIES[ability]
    rng = random.Random(f"evaluate-{ability}-{seed}")
    return [make(rng, split) for _ in range(count)]


def numbered(prompts: Sequence[str]) -> list[int]:
    """A number for each prompt, the same for the same text; nothing where all differ."""
    known: dict[str, int] = {}
    found = [known.setdefault(text, len(known)) for text in prompts]
    return found if len(known) < len(prompts) else []


def answered_turn(conversation: Conversation) -> int:
    """Index of the assistant's turn that is asked for: the tool call, or else the last one."""
    indices = [i for i, turn in enumerate(conversation.turns) if turn.role == "assistant"]
    return indices[0] if conversation.kind == "tool" else indices[-1]


def prompt_text(conversation: Conversation) -> str:
    """The chat template's text up to the answer."""
    before = conversation.turns[: answered_turn(conversation)]
    cut = Conversation(before, conversation.tools, conversation.system)
    return rendered_text(cut, generation_prompt=True)


async def answer(
    kernel: KernelClient, name: str, text: str, temperature: float = 0.0, samples: int = 1, seed: int = 1
) -> list[str]:
    """Answers of the loaded model to one rendered prompt."""
    from llmos.kernel.protocol import GenerateRequest
    from llmos.types import SamplingSettings

    sampling = SamplingSettings(temperature=temperature, top_k=0, top_p=1.0, min_p=0.0, seed=seed)
    request = GenerateRequest(
        prompt=await kernel.tokenize(text, special=True),
        sequence=name,
        max_tokens=LIMIT,
        sampling=sampling,
        samples=samples,
        keep=False,
        stream=False,
    )
    return await collect(kernel, request)


async def evaluate(
    model: Path,
    count: int,
    seed: int = 1,
    abilities: Sequence[str] = (),
    threads: int = 0,
    voters: int = 0,
    *,
    known: Mapping[str, Result] | None = None,
    done: Callable[[str, Result], None] | None = None,
    kernels: int = 0,
) -> dict[str, Result]:
    """Measure a model file.

    Args:
        model: the GGUF file.
        count: items an ability.
        seed: of the items.
        abilities: names out of ``ABILITIES``; all when empty.
        threads: of each kernel; 0 lets it choose.
        voters: items for majority voting at 4 and 16 samples; 0 leaves it out.
        known: results of an earlier run; only the items that it lacks are answered, and all of them
            where it was of another model file or of other items.
        done: told each result as soon as it is there; not told what was known already.
        kernels: worker processes that share the items; 0 starts as many as are worth it.

    Raises:
        KernelError: the file cannot be loaded.
        ValueError: no such ability.
    """
    known, done = known or {}, done or (lambda _name, _result: None)
    digest = _file_digest(model)
    tasks: list[_Task] = []
    results: dict[str, Result] = {}
    for ability in abilities or ABILITIES:
        task = _Task.of(ability, (ability,), count, seed, digest, known)
        if task.missing:
            tasks.append(task)
        else:
            results[ability] = known[ability]
    vote = _Task.of(_VOTED, VOTING, voters, seed, digest, known)
    if voters and not vote.missing:
        results |= {name: known[name] for name in VOTING}
    if not tasks and not (voters and vote.missing):
        return results
    example = "".join((tasks or [vote])[0].prompts[:8])
    async with Answerers(model, threads=threads, kernels=kernels, example=example) as answerers:
        for task in tasks:
            given = await answerers.greedy(task.prompts[task.start :])
            scored = [score(c, text) for c, text in zip(task.missing, given, strict=True)]
            found = {task.names[0]: {name: [one[name] for one in scored] for name in scored[0]}}
            results |= task.finish(found, known, done)
        if voters and vote.missing:
            results |= vote.finish(await _vote(answerers, vote), known, done)
    return results


def _file_digest(model: Path) -> str:
    """Digest of a model file; empty when there is none (the kernel then says so in its own words)."""
    if not model.is_file():
        return ""
    with model.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass
class _Task:
    """The items of an ability that are still to be answered.

    Attributes:
        names: of the results that come of them.
        items: all of them.
        prompts: of all of them.
        start: how many of them are known.
        digest: of the model file.
    """

    names: tuple[str, ...]
    items: list[Conversation]
    prompts: list[str]
    start: int
    digest: str

    @classmethod
    def of(
        cls,
        ability: str,
        names: tuple[str, ...],
        count: int,
        seed: int,
        digest: str,
        known: Mapping[str, Result],
    ) -> _Task:
        """Look how much is known; the first items of a seed are the same whatever their number."""
        have = min((known[name].count if name in known else 0 for name in names), default=0)
        asked = items(ability, max(count, have), seed)
        task = cls(names, asked, [prompt_text(c) for c in asked], have, digest)
        if have and any(known[name].source not in ("", task.source(known[name].count)) for name in names):
            task.start = 0  # of another model or of other items
        if not task.start:
            task.items, task.prompts = asked[:count], task.prompts[:count]
        return task

    @property
    def missing(self) -> list[Conversation]:
        """Items without an answer."""
        return self.items[self.start :]

    def source(self, count: int) -> str:
        """Digest of the model and the first ``count`` items."""
        text = "\0".join([self.digest, *self.prompts[:count]])
        return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]

    def finish(
        self,
        found: Mapping[str, dict[str, list[float]]],
        known: Mapping[str, Result],
        done: Callable[[str, Result], None],
    ) -> dict[str, Result]:
        """Put the new items' scores behind the known ones."""
        made = {}
        for name, scores in found.items():
            before = known[name].scores if self.start else {}
            joined = {key: [*before.get(key, ())[: self.start], *values] for key, values in scores.items()}
            groups = numbered(self.prompts)
            made[name] = Result(len(self.items), joined, self.source(len(self.items)), groups)
            done(name, made[name])
        return made


async def _vote(answerers: Answerers, task: _Task) -> dict[str, dict[str, list[float]]]:
    """Sums step by step: one sample, and the majority of 4 and of 16, on the same items."""
    single, four, sixteen = [], [], []
    seeds = range(task.start + 1, len(task.items) + 1)
    drawn = await answerers.sampled(task.prompts[task.start :], seeds, temperature=0.7)
    for item, texts in zip(task.missing, drawn, strict=True):
        numbers = [last_number(visible(t)) for t in texts]
        single.append(sum(n == item.answer for n in numbers) / LANES)
        four.append(float(_majority(numbers[:4]) == item.answer))
        sixteen.append(float(_majority(numbers) == item.answer))
    return {name: {"correct": values} for name, values in zip(VOTING, (single, four, sixteen), strict=True)}


def _majority(answers: Sequence[str]) -> str:
    return Counter(a for a in answers if a).most_common(1)[0][0] if any(answers) else ""


def main_score(ability: str) -> str:
    """The score that stands for an ability."""
    return MAIN_SCORE.get(ability, "correct")


def compare(before: Mapping[str, Result], after: Mapping[str, Result]) -> dict[str, Any]:
    """Change of every ability between two models on the same items, with its interval."""
    found = {}
    for name in before:
        if name in after and before[name].count == after[name].count:
            key = main_score(name)
            groups = before[name].groups or after[name].groups
            mean, low, high = paired_interval(before[name].scores[key], after[name].scores[key], groups=groups)
            found[name] = {"change": round(mean, 4), "low": round(low, 4), "high": round(high, 4)}
    return found
