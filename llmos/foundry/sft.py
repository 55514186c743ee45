"""Stage 4, supervised fine-tuning: generated conversations, loss on the assistant's tokens only."""

from __future__ import annotations

import json
import queue
import random
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from llmos.foundry.page_marks import PageTokens, page_labels
from llmos.foundry.render import Renderer, conversation_pieces
from llmos.foundry.tasks.mix import conversation
from llmos.foundry.tasks.text_pages import TextPages
from llmos.foundry.tokenizer import Tokenizer
from llmos.foundry.trainer import (
    Clock,
    Energy,
    Gradients,
    Log,
    LossPart,
    Report,
    Schedule,
    half_is_fast,
    hardware,
    load_model,
    load_state,
    pick_device,
    progress,
    save_state,
)

if TYPE_CHECKING:
    from torch import Tensor

    from llmos.foundry.model import Llama

T = TypeVar("T")


@dataclass(frozen=True)
class SftOptions:
    """Settings of a run.

    Attributes:
        tokens: how many to train on, prompts included.
        part_tokens: tokens of one part of a batch (one piece of work for a thread), padding included.
        parts: parts of one update.
        rate: peak rate of Muon; AdamW's is a fifth of it.
        seconds: end by this time even if tokens are left, or None.
        seed: of the conversations.
        workers: threads on a CPU.
        device: ``auto``, ``cpu`` or ``cuda``.
        halfway: share of the run at which a copy of the weights is kept.
        context: conversations longer than this are left out.
        decay: last share of the whole run in which the rate falls.
    """

    tokens: int = 10_000_000
    part_tokens: int = 1536
    parts: int = 4
    rate: float = 0.015
    seconds: float | None = None
    seed: int = 2
    workers: int = 2
    device: str = "auto"
    halfway: float = 0.5
    context: int = 2048
    decay: float = 0.6


@dataclass(frozen=True)
class Part:
    """Some conversations of like length, padded on the right.

    Attributes:
        ids: inputs (rows, time).
        targets: what follows each input, -100 where nothing is learned.
        weights: how much each position counts.
        pages, answers: digit of the page that a token is in, or that its answer cites; else -1.
        learned: number of positions with a target.
        weight: sum of the weights of these positions.
    """

    ids: Tensor
    targets: Tensor
    weights: Tensor
    pages: Tensor
    answers: Tensor
    learned: int
    weight: float


#: How much the number of a cited page counts: it is one token of an answer, and the hardest.
CITATION_WEIGHT = 3.0
#: Weight of reading the page's number off the stream, in the pages and at the end of the answers.
READING_WEIGHT = 0.25


def build_part(rows: list[tuple[list[int], list[bool]]], marks: PageTokens | None = None) -> Part:
    """Pad conversations into one part; the mask decides which tokens are targets.

    Args:
        rows: ids and mask of each conversation.
        marks: how page numbers are written; without them citations count as any other token.
    """
    import torch

    longest = max(len(ids) for ids, _ in rows) - 1
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    targets, pages, answers = (torch.full((len(rows), longest), -100, dtype=torch.long) for _ in range(3))
    weights = torch.ones(len(rows), longest)
    for row, (tokens, mask) in enumerate(rows):
        count = len(tokens) - 1
        sequence = torch.tensor(tokens)
        ids[row, :count] = sequence[:-1]
        wanted = torch.tensor(mask[1:])
        targets[row, :count] = torch.where(wanted, sequence[1:], -100)
        if marks is not None:
            in_page, cited = page_labels(tokens, mask, marks)
            pages[row, :count], answers[row, :count] = torch.tensor(in_page[:-1]), torch.tensor(cited[:-1])
            for place, token in enumerate(tokens[:count]):
                if token in marks.brackets:
                    weights[row, place] = CITATION_WEIGHT
    learned = targets >= 0
    return Part(ids, targets, weights, pages, answers, int(learned.sum()), float(weights[learned].sum()))


def parts(
    renderer: Renderer, options: SftOptions, start: int, texts: TextPages | None = None
) -> Iterator[tuple[int, Part]]:
    """Parts without end, with the number of the pool that each comes from.

    A pool of conversations is sorted by length and cut, so that little is padding; then its parts
    are shuffled. A pool depends on the seed, its number and the corpus: a run resumes at any pool.
    """
    pool = start
    marks = PageTokens.of(renderer.tokenizer)
    while True:
        rng = random.Random(f"sft-{options.seed}-{pool}")
        rows = [renderer.ids(conversation_pieces(conversation(rng, texts=texts))) for _ in range(400)]
        rows = sorted((r for r in rows if len(r[0]) <= options.context), key=lambda r: len(r[0]))
        groups: list[list[tuple[list[int], list[bool]]]] = [[]]
        for row in rows:
            if groups[-1] and (len(groups[-1]) + 1) * len(row[0]) > options.part_tokens:
                groups.append([])
            groups[-1].append(row)
        rng.shuffle(groups)
        for group in groups:
            yield pool, build_part(group, marks)
        pool += 1


def ahead(stream: Iterator[T], depth: int = 8) -> Iterator[T]:
    """The same items, made by a thread while the caller is busy with the ones before."""
    ready: queue.Queue[T] = queue.Queue(depth)

    def fill() -> None:
        for item in stream:
            ready.put(item)

    threading.Thread(target=fill, daemon=True).start()
    while True:
        yield ready.get()


def loss_of(part: Part, total: float, device: str, digits: Tensor, answered: list[float]) -> LossPart:
    """The part's share of the batch's loss, ``total`` being the weight of the whole batch.

    Beside the mean loss of the answers, which alone ``answered`` gets for the log, it holds how well
    page numbers can be read off the stream.
    """
    import torch

    ids, targets, weights = part.ids.to(device), part.targets.to(device), part.weights.to(device)
    pages, answers = part.pages.to(device), part.answers.to(device)

    def loss(model: Llama) -> Tensor:
        tapped: dict[int, Tensor] = {}
        found = model.loss(ids, targets, weights, tapped)
        answered.append(float(found.detach()) * part.weight / total)
        layers = model.config.layers
        # The copied words must know their page one block before the citation can ask them for it.
        copied = torch.where(answers.roll(-2, 1) >= 0, answers, -100)
        copied[:, -2:] = -100
        reads = ((layers // 2 - 1, pages), (max(0, layers - 3), copied), (max(0, layers - 2), answers))
        for layer, labels in reads:
            found = found + READING_WEIGHT * model.reads(tapped[layer], labels, digits)
        return found * (part.weight / total)

    return loss


def fine_tune(folder: Path, options: SftOptions, report: Report = print) -> Path:
    """Train on generated conversations, or go on with a run that was interrupted.

    Args:
        folder: of the build; ``pretrain/final.pt`` is read, ``sft/`` is written.
        options: see there.
        report: gets a line now and then.

    Returns:
        The file with the final weights.
    """
    import torch

    from llmos.foundry.optim import Optimiser

    out = folder / "sft"
    final, resumable = out / "final.pt", out / "state.pt"
    if final.exists():
        return final
    tokenizer = Tokenizer.load(folder / "tokenizer.json")
    renderer = Renderer(tokenizer)
    device = pick_device(options.device)
    base = folder / "pretrain" / "final.pt"
    model = load_model(base).to(device)
    if not (out / "base.pt").exists():  # what was fine-tuned, should the base be trained on later
        out.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(base, out / "base.pt")
    workers = options.workers if device == "cpu" else 1
    optimiser = Optimiser(model, options.rate, options.rate / 5, workers, half_is_fast(device))
    gradients = Gradients(model, workers, device)
    log = Log(out / "log.jsonl")
    step = done = learned = pool = 0
    spent = flops = 0.0
    half_kept = False
    schedule = Schedule(warmup=20, decay=options.decay)
    if resumable.exists():
        state = load_state(resumable)
        model.load_state_dict(state["weights"])
        facts = state["facts"]
        step, done, learned, pool = (facts[k] for k in ("step", "done", "learned", "pool"))
        spent, half_kept, flops = facts["seconds"], facts["half_kept"], facts.get("flops", 0.0)
        if state["optimiser"]:
            optimiser.load_state_dict(state["optimiser"])
        else:
            schedule = replace(schedule, start=step)
        log.cut_after(step)
        report(f"going on at step {step}, {done} tokens")
        pool += 1
    stream = ahead(parts(renderer, options, pool, TextPages.load(folder / "passages.jsonl")))
    digits = torch.tensor(PageTokens.of(tokenizer).digits, device=device)
    clock, energy = Clock(spent), Energy()
    last, last_done = time.monotonic(), done
    while True:
        over = progress(done, options.tokens, clock.seconds(), options.seconds)
        if over >= 1.0 and step > 0:
            break
        batch: list[Part] = []
        for _ in range(options.parts):
            pool, part = next(stream)
            batch.append(part)
        total = sum(p.weight for p in batch)
        answered: list[float] = []
        gradients.run([loss_of(p, total, device, digits, answered) for p in batch])
        loss = sum(answered)
        share = schedule.share(step, over)
        norm = optimiser.step(share)
        step, learned = step + 1, learned + sum(p.learned for p in batch)
        for part in batch:
            done += part.ids.numel()
            flops += part.ids.numel() * model.config.flops_per_token(part.ids.shape[1])
        if step <= 5 or step % 10 == 0:
            now = time.monotonic()
            speed = (done - last_done) / max(1e-9, now - last)
            last, last_done = now, done
            log.write(step=step, tokens=done, loss=loss, rate=share * options.rate, gradient=norm,
                      tokens_per_second=speed, seconds=clock.seconds())  # fmt: skip
            if step % 50 == 0:
                report(f"step {step} tokens {done} loss {loss:.3f} {speed:.0f} tokens/s")
        if not half_kept and over >= options.halfway:
            half_kept = True
            save_state(out / "half.pt", model, None, step=step, tokens=done)
        if step % 100 == 0:
            save_state(resumable, model, optimiser, step=step, done=done, learned=learned, pool=pool,
                       seconds=clock.seconds(), half_kept=half_kept, flops=flops)  # fmt: skip
    save_state(final, model, None, step=step, tokens=done, seed=options.seed, pool=pool)
    facts = {
        "steps": step,
        "tokens": done,
        "learned_tokens": learned,
        "seconds": clock.seconds(),
        "flops": flops,
        "energy_joules": energy.joules(),
        "hardware": hardware(options.workers),
        "options": vars(options),
    }
    (out / "facts.json").write_text(json.dumps(facts, indent=1))
    resumable.unlink(missing_ok=True)
    return final


def examples(tokenizer: Tokenizer, seed: int, count: int) -> list[dict[str, Any]]:
    """Some conversations as tokens with their masks, for the record."""
    renderer, rng = Renderer(tokenizer), random.Random(f"examples-{seed}")
    found: list[dict[str, Any]] = []
    while len(found) < count:
        made = conversation(rng)
        ids, mask = renderer.ids(conversation_pieces(made))
        if len(ids) <= 220:
            found.append(
                {
                    "kind": made.kind,
                    "tokens": [tokenizer.decode([i]) for i in ids],
                    "learned": [int(m) for m in mask],
                }
            )
    return found
