"""Stage 6, reinforcement learning on tasks that a program can check.

For every prompt a group of answers is drawn; an answer's advantage is its reward minus the group's
mean, divided by the group's spread. No value network, no reward model.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llmos.formats import TURN_END
from llmos.foundry.evaluate import answered_turn
from llmos.foundry.generate import Sample, generate
from llmos.foundry.preferences import answer_logprobs, general_mix
from llmos.foundry.render import Piece, Renderer, conversation_pieces, turn_pieces
from llmos.foundry.scoring import last_number, score, visible
from llmos.foundry.tasks import arithmetic, help, pages, refuse, smalltalk, tools
from llmos.foundry.tasks.base import Conversation, Generator, Split, Turn
from llmos.foundry.tasks.text_pages import TextPages
from llmos.foundry.tokenizer import Tokenizer
from llmos.foundry.trainer import (
    Clock,
    Gradients,
    Log,
    LossPart,
    Report,
    half_is_fast,
    load_model,
    pick_device,
    save_state,
)

if TYPE_CHECKING:
    from torch import Tensor

    from llmos.foundry.model import Llama

#: What is practised, with weights; the reward is 1 for a right answer, else 0.
TASKS: tuple[tuple[Generator, float], ...] = (
    (arithmetic.sum_by_steps, 5),
    (arithmetic.word_problem, 1),
    (pages.answer_from_pages, 3),
    (pages.absent_from_pages, 3),
    (tools.use_tool, 2),
    (smalltalk.small_talk, 1),
    (refuse.not_known, 1),
    (refuse.refuse_harm, 0.5),
    (help.ask_help, 1),
)
#: Weight of questions about the corpus' own sentences beside these, where there is a corpus.
TEXT_WEIGHT = 4.0
_REWARD = {"tool": "exact_call"}


@dataclass(frozen=True)
class RlOptions:
    """Settings.

    Attributes:
        steps: updates.
        prompts: prompts of an update.
        group: answers drawn for each prompt.
        rate: learning rate of AdamW.
        anchor: weight of the pull back to the model that the stage began with (squared log-ratio).
        mix: weight of the loss on conversations of the whole fine-tuning mix.
        temperature: of the draws.
        seconds: end by this time, or None.
        seed: of prompts and draws.
        workers: threads on a CPU.
        device: ``auto``, ``cpu`` or ``cuda``.
    """

    steps: int = 40
    prompts: int = 12
    group: int = 8
    rate: float = 2e-5
    anchor: float = 0.01
    mix: float = 0.5
    temperature: float = 1.0
    seconds: float | None = None
    seed: int = 4
    workers: int = 2
    device: str = "auto"


def prompt_ids(renderer: Renderer, conversation: Conversation) -> list[int]:
    """Ids up to the answer that is asked for."""
    before = Conversation(
        conversation.turns[: answered_turn(conversation)], conversation.tools, conversation.system
    )
    start: list[Piece] = turn_pieces(Turn("assistant"))[:2]
    return renderer.ids([*conversation_pieces(before), *start])[0]


def reward(conversation: Conversation, text: str, ended: bool) -> float:
    """1 for a right answer that ended by itself."""
    return float(ended) * score(conversation, text)[_REWARD.get(conversation.kind, "correct")]


def advantages(rewards: Sequence[float]) -> list[float]:
    """Group-relative advantages: zero for a group that agrees."""
    mean = sum(rewards) / len(rewards)
    spread = (sum((r - mean) ** 2 for r in rewards) / len(rewards)) ** 0.5
    return [(r - mean) / (spread + 1e-4) if spread > 0 else 0.0 for r in rewards]


def _policy_part(
    prompts: list[list[int]],
    answers: list[list[int]],
    gains: list[float],
    reference: Llama,
    count: int,
    anchor: float,
) -> LossPart:
    import torch

    def loss(model: Llama) -> Tensor:
        with torch.no_grad():
            base = answer_logprobs(reference, prompts, answers)
        values = answer_logprobs(model, prompts, answers)
        lengths = torch.tensor([float(len(a)) for a in answers], device=values.device)
        gain = torch.tensor(gains, device=values.device)
        # Answers are used once, so the ratio to the sampling policy is one and needs no clipping.
        pull = ((values - base) / lengths).square() * lengths
        return (-(gain * values / lengths.mean()).sum() + anchor * pull.sum()) / count

    return loss


def reinforce(folder: Path, options: RlOptions, report: Report = print) -> Path:
    """Practise from the model that preferences left.

    Args:
        folder: of the build; ``preferences/final.pt`` is read, ``rl/`` is written.
        options: see there.
        report: gets a line now and then.

    Returns:
        The file with the final weights.
    """
    import torch

    out = folder / "rl"
    final = out / "final.pt"
    if final.exists():
        return final
    tokenizer = Tokenizer.load(folder / "tokenizer.json")
    renderer, device = Renderer(tokenizer), pick_device(options.device)
    start = folder / "preferences" / "final.pt"
    model, reference = load_model(start).to(device), load_model(start).to(device)
    optimiser = torch.optim.AdamW(model.parameters(), lr=options.rate, betas=(0.9, 0.95), weight_decay=0.0)
    workers = options.workers if device == "cpu" else 1
    gradients = Gradients(model, workers, device)
    log, rng, clock = Log(out / "log.jsonl"), random.Random(f"rl-{options.seed}"), Clock()
    log.path.unlink(missing_ok=True)
    stop = tokenizer.special[TURN_END]
    passages = TextPages.load(folder / "passages.jsonl")
    beside = general_mix(renderer, options.mix, workers, device, options.seed, passages)
    pool = ThreadPoolExecutor(workers)
    makers, weights = [t for t, _ in TASKS], [w for _, w in TASKS]
    if passages is not None:
        makers, weights = [*makers, passages.one_question], [*weights, TEXT_WEIGHT]
    for step in range(1, options.steps + 1):
        asked = [rng.choices(makers, weights)[0](rng, Split.TRAIN) for _ in range(options.prompts)]
        prompts = [prompt_ids(renderer, c) for c in asked]
        rows = [p for p in prompts for _ in range(options.group)]
        drawn = _draw(model, prompts, stop, options, step, pool, device)
        texts = [tokenizer.decode(s.ids) for s in drawn]
        rewards = [reward(asked[i // options.group], texts[i], s.ended) for i, s in enumerate(drawn)]
        gains: list[float] = []
        for first in range(0, len(rewards), options.group):
            gains += advantages(rewards[first : first + options.group])
        useful = sorted((i for i, g in enumerate(gains) if g), key=lambda i: len(rows[i]) + len(drawn[i].ids))
        if useful:
            answers = [drawn[i].ids + ([stop] if drawn[i].ended else []) for i in useful]
            size = max(1, min(16, -(-len(useful) // (2 * options.workers))))
            parts = []
            for first in range(0, len(useful), size):
                chosen = useful[first : first + size]
                group = ([rows[i] for i in chosen], answers[first : first + size])
                parts.append(
                    _policy_part(*group, [gains[i] for i in chosen], reference, len(rows), options.anchor)
                )
            gradients.run(parts + next(beside))
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for setting in optimiser.param_groups:
                setting["lr"] = options.rate * min(1.0, step / 5)
            optimiser.step()
        log.write(step=step, seconds=clock.seconds(), **_summary(asked, texts, drawn, rewards, options.group))
        if step % 10 == 0:
            report(f"step {step} reward {sum(rewards) / len(rewards):.3f}")
        if options.seconds and clock.seconds() > options.seconds:
            break
    save_state(final, model, None, step=step, seed=options.seed)
    (out / "facts.json").write_text(
        json.dumps(
            {"steps": step, "answers": step * len(rows), "seconds": clock.seconds(), "options": vars(options)}
        )
    )
    return final


def _draw(
    model: Llama,
    prompts: list[list[int]],
    stop: int,
    options: RlOptions,
    step: int,
    pool: ThreadPoolExecutor,
    device: str,
) -> list[Sample]:
    """A group of answers for every prompt, in the prompts' order; each thread takes some prompts."""
    import torch

    def work(part: tuple[int, list[list[int]]]) -> list[Sample]:
        torch.set_num_threads(1)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=half_is_fast(device)):
            seed = step * 1000 + part[0]
            return generate(
                model,
                part[1],
                stop=stop,
                limit=150,
                temperature=options.temperature,
                seed=seed,
                group=options.group,
            )

    size = -(-len(prompts) // (2 * options.workers))
    chunks = [(i, prompts[i : i + size]) for i in range(0, len(prompts), size)]
    return [sample for found in pool.map(work, chunks) for sample in found]


def _summary(
    asked: list[Conversation], texts: list[str], drawn: list[Sample], rewards: list[float], group: int
) -> dict[str, float]:
    """Figures of one update: reward, pass@1, majority@k on sums, length, entropy."""
    sums, right = 0, 0
    for index, conversation in enumerate(asked):
        if conversation.kind in ("steps", "problem"):
            numbers = [last_number(visible(t)) for t in texts[index * group : (index + 1) * group]]
            winner = Counter(n for n in numbers if n).most_common(1)
            sums += 1
            right += bool(winner) and winner[0][0] == conversation.answer
    of_sums = [r for i, r in enumerate(rewards) if asked[i // group].kind in ("steps", "problem")]
    return {
        "reward": sum(rewards) / len(rewards),
        "pass_1": sum(of_sums) / max(1, len(of_sums)),
        "majority": right / max(1, sums),
        "group": group,
        "length": sum(len(s.ids) for s in drawn) / len(drawn),
        "entropy": sum(s.entropy for s in drawn) / len(drawn),
    }
