"""A small scaling study: three sizes, each trained on several numbers of tokens from scratch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from llmos.foundry.config import ModelConfig, model_config
from llmos.foundry.mixture import load_mixture
from llmos.foundry.tokenizer import Tokenizer
from llmos.foundry.trainer import Clock, Gradients, Report, Schedule, half_is_fast, pick_device

#: (width, layers, heads, inner width) of the three models.
SHAPES = ((64, 2, 2, 160), (96, 3, 3, 256), (160, 4, 5, 416))
TOKENS = (200_000, 400_000, 800_000)
_BATCH, _LENGTH = 4096, 256


def scaling_study(
    folder: Path,
    tokens: Sequence[int] = TOKENS,
    seed: int = 6,
    workers: int = 2,
    device: str = "auto",
    report: Report = print,
) -> Path:
    """Train every size on every number of tokens, each run with its own complete schedule.

    Args:
        folder: of the build; ``mix/`` is read, ``scaling.json`` is written (finished runs are kept).
        tokens: budgets.
        seed: of weights and order.
        workers: threads on a CPU.
        device: ``auto``, ``cpu`` or ``cuda``.
        report: gets a line a run.
    """
    target = folder / "scaling.json"
    runs: list[dict[str, Any]] = json.loads(target.read_text()) if target.exists() else []
    vocabulary = Tokenizer.load(folder / "tokenizer.json").vocab_size
    done = {(r["width"], r["tokens"]) for r in runs}
    for width, layers, heads, ffn in SHAPES:
        shape = replace(
            model_config("3m", vocabulary), width=width, layers=layers, heads=heads, kv_heads=heads, ffn=ffn
        )
        for budget in tokens:
            if (width, budget) in done:
                continue
            runs.append(_run(folder, shape, budget, seed, workers, pick_device(device)))
            target.write_text(json.dumps(runs))
            report(f"{runs[-1]['parameters']} parameters, {budget} tokens: loss {runs[-1]['loss']}")
    return target


def _run(
    folder: Path, config: ModelConfig, budget: int, seed: int, workers: int, device: str
) -> dict[str, Any]:
    import numpy as np
    import torch

    from llmos.foundry.model import Llama
    from llmos.foundry.optim import Optimiser
    from llmos.foundry.pretrain import Order, _part
    from llmos.foundry.structured import initialise

    model = Llama(config)
    initialise(model, seed)
    model.to(device)
    optimiser = Optimiser(model, workers=workers, half=half_is_fast(device))
    gradients, schedule, clock = Gradients(model, workers, device), Schedule(warmup=10), Clock()
    text = np.memmap(load_mixture(folder / "mix").train, dtype=np.uint16, mode="r")
    # The last stretch of the text is for the final loss alone.
    train, test = text[: -40 * _LENGTH - 1], text[-40 * _LENGTH - 1 :]
    order, rows = Order(train, seed), _BATCH // _LENGTH
    steps = max(2, budget // _BATCH)
    for step in range(steps):
        ids = torch.from_numpy(order.batch(step * _BATCH, rows, _LENGTH)).to(device)
        pieces = ids.chunk(2 * workers)
        gradients.run([_part(piece, len(piece) / rows) for piece in pieces])
        optimiser.step(schedule.share(step, step / steps))
    ids = torch.from_numpy(
        np.stack([test[r * _LENGTH : r * _LENGTH + _LENGTH + 1] for r in range(40)]).astype(np.int64)
    )
    with torch.no_grad():
        loss = float(model.loss(ids[:, :-1].to(device), ids[:, 1:].to(device)))
    return {
        "width": config.width,
        "layers": config.layers,
        "parameters": config.parameters(),
        "tokens": budget,
        "flops": steps * _BATCH * config.flops_per_token(_LENGTH),
        "loss": round(loss, 4),
        "seconds": round(clock.seconds(), 1),
    }
