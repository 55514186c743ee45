"""Stage 3, pre-training: predict the next token of the base text."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmos.foundry.config import ModelConfig
from llmos.foundry.mixture import Mixture, load_mixture
from llmos.foundry.tokenizer import Tokenizer
from llmos.foundry.trainer import (
    Clock,
    Energy,
    Gradients,
    Log,
    LossPart,
    Report,
    Schedule,
    bits_per_byte,
    half_is_fast,
    hardware,
    load_state,
    pick_device,
    progress,
    save_state,
)

if TYPE_CHECKING:
    from torch import Tensor

    from llmos.foundry.model import Llama

#: Prompts whose continuations the record keeps at every checkpoint.
SAMPLE_PROMPTS = (
    "Once upon a time",
    "The little boy went to",
    "A language model is",
    "Question: What is 7 + 5?\nAnswer:",
    "Notes:\n[1] notes/list.md > Overview\nThe capital of Brenholm is Tilwick.\n\n"
    "What is the capital of Brenholm?\nAnswer:",
)


@dataclass(frozen=True)
class PretrainOptions:
    """Settings of a run.

    Attributes:
        tokens: how many to train on; the run repeats the text when it is shorter.
        batch_tokens: tokens of one update.
        contexts: ``(share of the run, sequence length from there on)``, short first: attention over
            short stretches is cheap, and copying is learned there.
        seconds: end by this time even if tokens are left (the learning rate falls in time), or None.
        seed: of weights and order.
        workers: threads that work on parts of a batch, on a CPU.
        device: ``auto``, ``cpu`` or ``cuda``.
        checkpoints: shares of the run at which weights and samples are kept, besides step 1.
        peak: highest share of the optimiser's learning rate; a run that is gone on with needs less.
        decay: last share of the whole run in which the rate falls.
    """

    tokens: int = 8_000_000
    batch_tokens: int = 4096
    contexts: tuple[tuple[float, int], ...] = ((0.0, 256), (0.7, 512), (0.9, 2048))
    seconds: float | None = None
    seed: int = 1
    workers: int = 2
    device: str = "auto"
    checkpoints: tuple[float, ...] = (0.05, 0.2, 0.5)
    peak: float = 1.0
    decay: float = 0.45


class Order:
    """Which stretch of the text comes when: a seeded shuffle, anew for every pass.

    Position is counted in tokens, so that a change of the sequence length loses nothing.
    """

    def __init__(self, text: Any, seed: int) -> None:
        self._text, self._seed = text, seed

    def batch(self, position: int, rows: int, length: int) -> Any:
        """Token ids (rows, length + 1) for the batch that begins at ``position`` tokens."""
        import numpy as np

        stretches = (len(self._text) - 1) // length
        if stretches < 1:
            raise ValueError(f"the base text has {len(self._text)} tokens, fewer than one sequence of {length}")
        out = np.empty((rows, length + 1), dtype=np.int64)
        for row in range(rows):
            number = position // length + row
            lap, place = divmod(number, stretches)
            # A full permutation by an odd multiplier costs no memory and needs no state.
            start = self._permute(place, stretches, lap) * length
            out[row] = self._text[start : start + length + 1]
        return out

    def _permute(self, place: int, count: int, lap: int) -> int:
        import numpy as np

        key = (count, lap)
        if getattr(self, "_key", None) != key:
            self._key = key
            self._table = np.random.default_rng([self._seed, count, lap]).permutation(count)
        return int(self._table[place])


def pretrain(folder: Path, config: ModelConfig, options: PretrainOptions, report: Report = print) -> Path:
    """Train, or go on with a run that was interrupted.

    Args:
        folder: of the build; ``mix/`` and ``tokenizer.json`` are read, ``pretrain/`` is written.
        config: shape of the model.
        options: see there.
        report: gets a line now and then.

    Returns:
        The file with the final weights.
    """
    import numpy as np
    import torch

    from llmos.foundry.model import Llama
    from llmos.foundry.optim import Optimiser
    from llmos.foundry.structured import initialise

    out = folder / "pretrain"
    final, resumable = out / "final.pt", out / "state.pt"
    if final.exists():
        return final
    mixture, tokenizer = load_mixture(folder / "mix"), Tokenizer.load(folder / "tokenizer.json")
    device = pick_device(options.device)
    model = Llama(config)
    initialise(model, options.seed)
    model.to(device)
    workers = options.workers if device == "cpu" else 1
    optimiser = Optimiser(model, workers=workers, half=half_is_fast(device))
    gradients = Gradients(model, workers, device)
    log, samples = Log(out / "log.jsonl"), Log(out / "samples.jsonl")
    step = done = 0
    spent = flops = 0.0
    kept: list[float] = []
    schedule = Schedule(peak=options.peak, decay=options.decay)
    if resumable.exists():
        state = load_state(resumable)
        model.load_state_dict(state["weights"])
        step, done, spent, kept = (state["facts"][k] for k in ("step", "done", "seconds", "kept"))
        flops = state["facts"].get("flops", 0.0)
        if state["optimiser"]:
            optimiser.load_state_dict(state["optimiser"])
        else:
            schedule = replace(schedule, start=step)
        log.cut_after(step)
        samples.cut_after(step)
        report(f"going on at step {step}, {done} tokens")
    order = Order(np.memmap(mixture.train, dtype=np.uint16, mode="r"), options.seed)
    clock, energy = Clock(spent), Energy()
    byte_share = mixture.tokens / mixture.bytes
    last, last_done = time.monotonic(), done
    while True:
        part = progress(done, options.tokens, clock.seconds(), options.seconds)
        if part >= 1.0 and step > 0:
            break
        length = next(size for share, size in reversed(options.contexts) if part >= share)
        rows = max(1, options.batch_tokens // length)
        ids = torch.from_numpy(order.batch(done, rows, length)).to(device)
        pieces = ids.chunk(min(rows, 2 * workers))
        losses = gradients.run([_part(piece, len(piece) / rows) for piece in pieces])
        loss = sum(losses)
        share = schedule.share(step, part)
        norm = optimiser.step(share)
        step, done = step + 1, done + rows * length
        flops += rows * length * config.flops_per_token(length)
        if step <= 10 or step % 10 == 0:
            now = time.monotonic()
            speed = (done - last_done) / max(1e-9, now - last)
            last, last_done = now, done
            log.write(
                step=step,
                tokens=done,
                loss=loss,
                bits_per_byte=bits_per_byte(loss, 1, 1) * byte_share,
                rate=share * optimiser.muon_rate,
                gradient=norm,
                tokens_per_second=speed,
                context=length,
                seconds=clock.seconds(),
            )
            if step % 100 == 0:
                report(f"step {step} tokens {done} loss {loss:.3f} {speed:.0f} tokens/s")
        due = [c for c in options.checkpoints if c <= part and c not in kept]
        if step == 1 or due:
            kept += due
            _checkpoint(out, model, tokenizer, mixture, step, done, log, samples)
        if step % 100 == 0:
            facts = {"step": step, "done": done, "seconds": clock.seconds(), "kept": kept, "flops": flops}
            save_state(resumable, model, optimiser, **facts)
    _checkpoint(out, model, tokenizer, mixture, step, done, log, samples)
    save_state(final, model, None, step=step, tokens=done, seed=options.seed)
    facts = {
        "steps": step,
        "tokens": done,
        "seconds": clock.seconds(),
        "flops": flops,
        "energy_joules": energy.joules(),
        "hardware": hardware(workers),
        "options": vars(options),
        "parameters": config.parameters(),
    }
    (out / "facts.json").write_text(json.dumps(facts, indent=1))
    resumable.unlink(missing_ok=True)
    return final


def _part(ids: Tensor, weight: float) -> LossPart:
    """Loss of some rows of a batch, weighted by their share of it."""
    return lambda model: model.loss(ids[:, :-1], ids[:, 1:]) * weight


def _checkpoint(
    out: Path,
    model: Llama,
    tokenizer: Tokenizer,
    mixture: Mixture,
    step: int,
    done: int,
    log: Log,
    samples: Log,
) -> None:
    """Keep weights, held-out scores and samples of a step."""
    save_state(out / f"step-{step}.pt", model, None, step=step, tokens=done)
    scores = held_out_bits(model, mixture)
    log.write(step=step, tokens=done, held_out=scores)
    for prompt in SAMPLE_PROMPTS:
        samples.write(step=step, prompt=prompt, text=continue_text(model, tokenizer, prompt))


def held_out_bits(model: Llama, mixture: Mixture, limit: int = 8192) -> dict[str, float]:
    """Bits per byte on held-out text, by source (at most ``limit`` tokens of each)."""
    import numpy as np
    import torch

    sizes = json.loads((mixture.train.parent / "mixture.json").read_text())["held_out_bytes"]
    device = next(model.parameters()).device
    scores: dict[str, float] = {}
    with torch.no_grad():
        for source, path in mixture.held_out.items():
            ids = np.fromfile(path, dtype=np.uint16).astype(np.int64)
            used = ids[:limit]
            length = min(512, len(used) - 1)
            rows = (len(used) - 1) // length if length > 0 else 0
            if rows < 1:
                continue
            x = torch.from_numpy(
                np.stack([used[r * length : r * length + length + 1] for r in range(rows)])
            ).to(device)
            loss = float(model.loss(x[:, :-1], x[:, 1:]))
            scores[source] = round(bits_per_byte(loss, len(ids), sizes[source]), 4)
    return scores


def continue_text(model: Llama, tokenizer: Tokenizer, prompt: str, count: int = 48) -> str:
    """The most likely continuation of a prompt, token by token."""
    import torch

    ids: Tensor = torch.tensor([tokenizer.encode(prompt)], device=next(model.parameters()).device)
    start = ids.shape[1]
    with torch.no_grad():
        for _ in range(count):
            nearest = model(ids)[:, -1].argmax(-1, keepdim=True)
            if int(nearest) == 0:
                break
            ids = torch.cat([ids, nearest], dim=1)
    return tokenizer.decode(ids[0, start:].tolist())
