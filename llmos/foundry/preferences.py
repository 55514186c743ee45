"""Stage 5, preferences: a reward head on the fine-tuned trunk, and DPO."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmos.foundry.page_marks import PageTokens
from llmos.foundry.pairs import Pair, pair
from llmos.foundry.render import Renderer
from llmos.foundry.sft import SftOptions, ahead, loss_of, parts
from llmos.foundry.tasks.base import Split
from llmos.foundry.tasks.text_pages import TextPages
from llmos.foundry.tokenizer import Tokenizer
from llmos.foundry.trainer import (
    Clock,
    Gradients,
    Log,
    LossPart,
    Report,
    load_model,
    pick_device,
    save_state,
)

if TYPE_CHECKING:
    from torch import Tensor

    from llmos.foundry.model import Llama


@dataclass(frozen=True)
class PreferenceOptions:
    """Settings.

    Attributes:
        steps: updates of DPO.
        pairs: pairs of an update.
        beta: how strongly the model is held to where it started.
        anchor: weight of the chosen answers' own loss, which keeps them from becoming less likely.
        mix: weight of the loss on conversations of the whole fine-tuning mix, so that what no pair
            is about stays as it was.
        rate: peak learning rate of AdamW.
        share: how much of the change is kept: the final weights lie between those before and after
            (WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903). What the pairs train for keeps most of
            its gain, and what they are not about loses less.
        head_pairs: pairs that the reward head learns from; a quarter as many test it.
        seconds: end by this time, or None.
        seed: of the pairs.
        workers: threads on a CPU.
        device: ``auto``, ``cpu`` or ``cuda``.
    """

    steps: int = 120
    pairs: int = 16
    beta: float = 0.2
    anchor: float = 0.2
    mix: float = 1.0
    rate: float = 2e-5
    share: float = 0.5
    head_pairs: int = 1200
    seconds: float | None = None
    seed: int = 3
    workers: int = 2
    device: str = "auto"


def answer_logprobs(model: Llama, prompts: Sequence[list[int]], answers: Sequence[list[int]]) -> Tensor:
    """Sum of log-probabilities of each answer after its prompt (batch)."""
    import torch
    from torch.nn import functional

    device = next(model.parameters()).device
    longest = max(len(p) + len(a) for p, a in zip(prompts, answers, strict=True)) - 1
    ids = torch.zeros(len(prompts), longest, dtype=torch.long)
    targets = torch.full((len(prompts), longest), -100, dtype=torch.long)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        whole = torch.tensor(prompt + answer)
        ids[row, : len(whole) - 1] = whole[:-1]
        targets[row, len(prompt) - 1 : len(whole) - 1] = whole[len(prompt) :]
    ids, targets = ids.to(device), targets.to(device)
    states = model.hidden(ids)
    row_of, place = (targets >= 0).nonzero(as_tuple=True)
    logits = functional.linear(states[row_of, place], model.embed.weight).float()
    each = -functional.cross_entropy(logits, targets[row_of, place], reduction="none")
    return torch.zeros(len(prompts), device=device).index_add(0, row_of, each)


def _dpo_part(
    pairs: list[tuple[list[int], list[int], list[int]]],
    reference: Llama,
    options: PreferenceOptions,
    kept: list[Tensor],
) -> LossPart:
    """Loss of some pairs; ``kept`` receives their log-probabilities for the record."""
    import torch
    from torch.nn import functional

    def loss(model: Llama) -> Tensor:
        prompts = [p for p, _, _ in pairs]
        answers = [c for _, c, _ in pairs] + [r for _, _, r in pairs]
        with torch.no_grad():
            start = answer_logprobs(reference, prompts * 2, answers).view(2, -1)
        chosen, rejected = answer_logprobs(model, prompts * 2, answers).view(2, -1)
        margin = options.beta * ((chosen - start[0]) - (rejected - start[1]))
        kept.append(torch.stack([chosen, rejected, margin]).detach().float().cpu())
        length = sum(len(c) for _, c, _ in pairs)
        anchor = options.anchor * chosen.sum() * len(pairs) / length
        return (-functional.logsigmoid(margin).sum() - anchor) / options.pairs

    return loss


def general_mix(
    renderer: Renderer, weight: float, count: int, device: str, seed: int, texts: TextPages | None = None
) -> Iterator[list[LossPart]]:
    """Losses on conversations of the fine-tuning mix, ``count`` parts an update, to go beside a stage's own.

    A stage that trains on a few abilities alone pays for them with the others.

    Args:
        renderer: of the conversations.
        weight: of the mean loss of an update; without weight there are no parts.
        count: parts of an update.
        device: where the model is.
        seed: of the conversations.
        texts: the corpus' passages, as in fine-tuning.
    """
    import torch

    stream = ahead(parts(renderer, SftOptions(seed=1000 + seed, part_tokens=1024), 0, texts))
    digits = torch.tensor(PageTokens.of(renderer.tokenizer).digits, device=device)
    while True:
        batch = [next(stream)[1] for _ in range(count if weight else 0)]
        total = sum(p.weight for p in batch) / weight if weight else 1.0
        yield [loss_of(p, total, device, digits, []) for p in batch]


def optimise_preferences(folder: Path, options: PreferenceOptions, report: Report = print) -> Path:
    """Train the reward head and run DPO from the fine-tuned model.

    Args:
        folder: of the build; ``sft/final.pt`` is read, ``preferences/`` is written.
        options: see there.
        report: gets a line now and then.

    Returns:
        The file with the final weights.
    """
    import torch

    out = folder / "preferences"
    final = out / "final.pt"
    if final.exists():
        return final
    tokenizer = Tokenizer.load(folder / "tokenizer.json")
    renderer, device = Renderer(tokenizer), pick_device(options.device)
    model = load_model(folder / "sft" / "final.pt").to(device)
    head = train_reward_head(model, renderer, options)
    out.mkdir(parents=True, exist_ok=True)
    (out / "reward_head.json").write_text(json.dumps(head))
    report(f"reward head: {head['accuracy']:.3f} of held-out pairs in the right order")
    reference = load_model(folder / "sft" / "final.pt").to(device)
    clock = Clock()
    optimiser = torch.optim.AdamW(model.parameters(), lr=options.rate, betas=(0.9, 0.95), weight_decay=0.0)
    gradients = Gradients(model, options.workers if device == "cpu" else 1, device)
    log, rng = Log(out / "log.jsonl"), random.Random(f"dpo-{options.seed}")
    log.path.unlink(missing_ok=True)
    texts = TextPages.load(folder / "passages.jsonl")
    beside = general_mix(renderer, options.mix, options.workers, device, options.seed, texts)
    test = [p.ids(renderer) for p in _pairs(random.Random("dpo-test"), 96, Split.NAMES)]
    steps = options.steps
    for step in range(1, steps + 1):
        over = max(step / steps, clock.seconds() / options.seconds if options.seconds else 0.0)
        batch = sorted(
            (p.ids(renderer) for p in _pairs(rng, options.pairs, Split.TRAIN, texts)),
            key=lambda p: len(p[0]),
        )
        size = max(1, len(batch) // (2 * options.workers))
        kept: list[Tensor] = []
        work = []
        for start in range(0, len(batch), size):
            work.append(_dpo_part(batch[start : start + size], reference, options, kept))
        loss = sum(gradients.run(work + next(beside))[: len(work)])
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for setting in optimiser.param_groups:
            setting["lr"] = options.rate * min(1.0, step / 10) * max(0.05, 1.0 - over)
        optimiser.step()
        chosen, rejected, margin = torch.cat(kept, dim=1)
        log.write(
            step=step,
            loss=loss,
            margin=float(margin.mean()),
            accuracy=float((margin > 0).float().mean()),
            chosen=float(chosen.mean()),
            rejected=float(rejected.mean()),
            seconds=clock.seconds(),
        )
        if step % 20 == 0:
            report(f"step {step} loss {loss:.3f} margin {float(margin.mean()):.3f}")
        if over >= 1.0:
            break
    with torch.no_grad():
        for now, before in zip(model.parameters(), reference.parameters(), strict=True):
            now.copy_(torch.lerp(before, now, options.share))
    log.write(step=step, held_out=margins(model, reference, test, options.beta))
    save_state(final, model, None, step=step, seed=options.seed)
    (out / "facts.json").write_text(
        json.dumps(
            {"steps": step, "pairs": step * options.pairs, "seconds": clock.seconds(), "options": vars(options)}
        )
    )
    return final


def _pairs(rng: random.Random, count: int, split: Split, texts: TextPages | None = None) -> list[Pair]:
    return [pair(rng, split, texts) for _ in range(count)]


def margins(
    model: Llama, reference: Llama, pairs: Sequence[tuple[list[int], list[int], list[int]]], beta: float
) -> dict[str, float]:
    """Margin and accuracy on pairs: how often the change since ``reference`` favours the chosen answer."""
    import torch

    gaps, raw = [], []
    with torch.no_grad():
        for start in range(0, len(pairs), 16):
            group = pairs[start : start + 16]
            prompts = [p for p, _, _ in group]
            now = [answer_logprobs(model, prompts, [g[i] for g in group]) for i in (1, 2)]
            then = [answer_logprobs(reference, prompts, [g[i] for g in group]) for i in (1, 2)]
            gaps += (beta * ((now[0] - then[0]) - (now[1] - then[1]))).tolist()
            raw += (now[0] - now[1]).tolist()
    count = max(1, len(gaps))
    return {
        "margin": sum(gaps) / count,
        "accuracy": sum(g > 0 for g in gaps) / count,
        "chosen_likelier": sum(r > 0 for r in raw) / count,
    }


def _last_states(model: Llama, sequences: Sequence[list[int]]) -> Tensor:
    """Last hidden state of each sequence (count, width)."""
    import torch

    device = next(model.parameters()).device
    found = []
    with torch.no_grad():
        for start in range(0, len(sequences), 32):
            group = sequences[start : start + 32]
            longest = max(map(len, group))
            ids = torch.zeros(len(group), longest, dtype=torch.long)
            for row, sequence in enumerate(group):
                ids[row, : len(sequence)] = torch.tensor(sequence)
            states = model.hidden(ids.to(device))
            found.append(states[torch.arange(len(group)), [len(s) - 1 for s in group]].float().cpu())
    return torch.cat(found)


def train_reward_head(model: Llama, renderer: Renderer, options: PreferenceOptions) -> dict[str, Any]:
    """Fit one vector so that chosen answers score higher than rejected ones (Bradley-Terry).

    The score of a conversation is ``vector @ state + bias``, with the state of the last token, the
    end of turn: the same numbers that the kernel gives as a raw embedding of the last token.
    """
    import torch
    from torch.nn import functional

    def states(count: int, split: Split, name: str) -> tuple[Tensor, Tensor]:
        rng = random.Random(f"reward-{name}-{options.seed}")
        made = sorted((p.ids(renderer) for p in _pairs(rng, count, split)), key=lambda p: len(p[0]))
        return tuple(_last_states(model, [p[0] + p[i] for p in made]) for i in (1, 2))

    better, worse = states(options.head_pairs, Split.TRAIN, "train")
    test_better, test_worse = states(max(64, options.head_pairs // 4), Split.NAMES, "test")
    gap = better - worse
    vector = torch.zeros(gap.shape[1], requires_grad=True)
    optimiser = torch.optim.AdamW([vector], lr=0.02, weight_decay=0.02)
    for _ in range(300):
        optimiser.zero_grad()
        loss = -functional.logsigmoid(gap @ vector).mean()
        loss.backward()
        optimiser.step()
    weights = vector.detach()
    scores = torch.cat([better @ weights, worse @ weights])
    right = ((test_better - test_worse) @ weights > 0).float()
    return {
        "vector": [round(float(v), 5) for v in weights],
        "bias": round(-float(scores.mean()), 5),
        "scale": round(float(scores.std()), 5),
        "train_accuracy": round(float(((better - worse) @ weights > 0).float().mean()), 4),
        "accuracy": round(float(right.mean()), 4),
        "test_pairs": len(right),
        "reads": "raw last hidden state (after the final norm) of the token that ends the assistant's turn",
    }
