"""Muon for the matrices of the blocks, AdamW for embedding and gains.

Muon makes every update of a matrix nearly orthogonal (Newton-Schulz iteration on the momentum);
at this size it reaches the same loss in about half the tokens of AdamW.
"""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from llmos.foundry.model import Llama


def orthogonalise(update: Tensor, steps: int = 5, half: bool = False) -> Tensor:
    """Nearest orthogonal matrix, roughly, of each matrix in ``update`` (count, rows, columns).

    ``half`` iterates in bfloat16, which is exact enough and three times as fast where it is native.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = update / (update.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    if half:
        x = x.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT.contiguous()
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).float()


class Muon:
    """Momentum with orthogonalised updates, all matrices of one shape in one batched product."""

    def __init__(
        self,
        weights: list[Tensor],
        momentum: float = 0.95,
        decay: float = 0.01,
        workers: int = 1,
        half: bool = False,
    ) -> None:
        groups: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
        for weight in weights:
            groups[tuple(weight.shape)].append(weight)
        self.groups = list(groups.values())
        self.buffers = [torch.zeros(len(g), *g[0].shape, device=g[0].device) for g in self.groups]
        self.momentum, self.decay, self.half = momentum, decay, half
        self._pool = ThreadPoolExecutor(max(1, workers), initializer=torch.set_num_threads, initargs=(1,))

    def step(self, rate: float) -> None:
        """Update all weights from their gradients.

        Args:
            rate: learning rate; the size of an update is ``rate * sqrt(max(1, rows / columns))``.
        """
        # The largest groups first, so that the threads end at about the same time.
        order = sorted(range(len(self.groups)), key=lambda i: -self.buffers[i].numel())
        list(self._pool.map(lambda i: self._update(self.groups[i], self.buffers[i], rate), order))

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _update(self, group: list[Tensor], buffer: Tensor, rate: float) -> None:
        gradient = torch.stack([w.grad if w.grad is not None else torch.zeros_like(w) for w in group])
        buffer.lerp_(gradient, 1 - self.momentum)
        update = orthogonalise(gradient.lerp(buffer, self.momentum), half=self.half)
        rows, columns = group[0].shape
        scale = rate * max(1.0, rows / columns) ** 0.5
        for weight, change in zip(group, update, strict=True):
            weight.mul_(1 - rate * self.decay).sub_(change, alpha=scale)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"buffers": self.buffers}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up the momentum of an earlier run."""
        for mine, saved in zip(self.buffers, state["buffers"], strict=True):
            mine.copy_(saved)


class Optimiser:
    """Both optimisers behind one ``step``."""

    def __init__(
        self,
        model: Llama,
        muon_rate: float = 0.02,
        adam_rate: float = 0.004,
        workers: int = 1,
        half: bool = False,
    ) -> None:
        matrices = [w for n, w in model.named_parameters() if w.ndim == 2 and n != "embed.weight"]
        others = [w for n, w in model.named_parameters() if w.ndim != 2 or n == "embed.weight"]
        self.weights = list(model.parameters())
        self.muon = Muon(matrices, workers=workers, half=half)
        self.muon_rate, self.adam_rate = muon_rate, adam_rate
        self.adam = torch.optim.AdamW(others, lr=adam_rate, betas=(0.9, 0.98), weight_decay=0.0)

    def step(self, share: float, clip: float = 1.0) -> float:
        """One update at ``share`` of the peak learning rates.

        Returns:
            The gradient norm before clipping.
        """
        norm = float(torch.nn.utils.clip_grad_norm_(self.weights, clip))
        for group in self.adam.param_groups:
            group["lr"] = self.adam_rate * share
        self.adam.step()
        self.muon.step(self.muon_rate * share)
        for weight in self.weights:
            weight.grad = None
        return norm

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"muon": self.muon.state_dict(), "adam": self.adam.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up an earlier run."""
        self.muon.load_state_dict(state["muon"])
        self.adam.load_state_dict(state["adam"])
