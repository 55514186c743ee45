"""Stage 9, evaluation: generated held-out items, answered by a GGUF file through the kernel."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
_AT_ONCE = 8
_LIMIT = 220


@dataclass
class Result:
    """Scores of one ability.

    Attributes:
        count: number of items.
        scores: each score's value on every item.
    """

    count: int
    scores: dict[str, list[float]] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """Share, lower and upper 95 % bound of every score."""
        found: dict[str, Any] = {"n": self.count}
        for name, values in self.scores.items():
            right = sum(values)
            low, high = wilson(right, self.count)
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
    from llmos.kernel.protocol import Chunk, GenerateRequest
    from llmos.types import SamplingSettings

    sampling = SamplingSettings(temperature=temperature, top_k=0, top_p=1.0, min_p=0.0, seed=seed)
    request = GenerateRequest(
        prompt=await kernel.tokenize(text, special=True),
        sequence=name,
        max_tokens=_LIMIT,
        sampling=sampling,
        samples=samples,
        keep=False,
    )
    texts = [""] * samples
    async for event in kernel.generate(request):
        if isinstance(event, Chunk):
            texts[event.sample] += event.text
    return texts


async def _all_answers(kernel: KernelClient, prompts: Sequence[str]) -> list[str]:
    """Greedy answers to many prompts, several at once in shared batches."""
    answers = [""] * len(prompts)
    todo = iter(range(len(prompts)))

    async def work(lane: int) -> None:
        for index in todo:
            answers[index] = (await answer(kernel, f"lane-{lane}", prompts[index]))[0]

    await asyncio.gather(*(work(lane) for lane in range(_AT_ONCE)))
    return answers


async def evaluate(
    model: Path, count: int, seed: int = 1, abilities: Sequence[str] = (), threads: int = 0, voters: int = 0
) -> dict[str, Result]:
    """Measure a model file.

    Args:
        model: the GGUF file.
        count: items an ability.
        seed: of the items.
        abilities: names out of ``ABILITIES``; all when empty.
        threads: for the kernel; 0 lets it choose.
        voters: items for majority voting at 4 and 16 samples; 0 leaves it out.

    Raises:
        KernelError: the file cannot be loaded.
    """
    from llmos.kernel.client import KernelClient
    from llmos.kernel.protocol import LoadRequest

    kernel = KernelClient()
    results: dict[str, Result] = {}
    try:
        await kernel.load(LoadRequest(model, context=2048 * 4, threads=threads, max_sequences=18))
        for ability in abilities or ABILITIES:
            asked = items(ability, count, seed)
            given = await _all_answers(kernel, [prompt_text(c) for c in asked])
            results[ability] = _collect([score(c, text) for c, text in zip(asked, given, strict=True)])
        if voters:
            results |= await _vote(kernel, voters, seed)
    finally:
        await kernel.close()
    return results


def _collect(scores: list[dict[str, float]]) -> Result:
    names = scores[0].keys()
    return Result(len(scores), {name: [s[name] for s in scores] for name in names})


async def _vote(kernel: KernelClient, count: int, seed: int) -> dict[str, Result]:
    """Sums step by step: one sample, and the majority of 4 and of 16, on the same items."""
    single, four, sixteen = [], [], []
    for number, item in enumerate(items("steps_new_pairs", count, seed)):
        texts = await answer(kernel, "vote", prompt_text(item), temperature=0.7, samples=16, seed=number + 1)
        numbers = [last_number(visible(t)) for t in texts]
        single.append(sum(n == item.answer for n in numbers) / 16)
        four.append(float(_majority(numbers[:4]) == item.answer))
        sixteen.append(float(_majority(numbers) == item.answer))
    return {
        "steps_sampled": Result(count, {"correct": single}),
        "steps_majority_4": Result(count, {"correct": four}),
        "steps_majority_16": Result(count, {"correct": sixteen}),
    }


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
            mean, low, high = paired_interval(before[name].scores[key], after[name].scores[key])
            found[name] = {"change": round(mean, 4), "low": round(low, 4), "high": round(high, 4)}
    return found
