"""A start for training: random weights, with the circuit for copying already laid.

A model of a few million weights does not find by itself, in an affordable number of tokens, the
two-layer circuit that copies a name from a page into an answer. Both halves fit into plain llama
weights: a head in layer 0 that looks one token back, and heads in layer 1 that look for the place
after an earlier copy of the present token ("induction"). Training refines them from there.
"""

from __future__ import annotations

import math

import torch

from llmos.foundry.model import Llama


def initialise(model: Llama, seed: int, *, copying: bool = True) -> None:
    """Fill ``model`` with its first weights.

    Args:
        model: changed in place.
        seed: the same seed gives the same weights, so "step 1" can be rebuilt at any time.
        copying: lay the copying circuit (needs two layers and 96 or more of width).
    """
    config = model.config
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim < 2:
                weight.fill_(1.0)
            elif name == "embed.weight":
                weight.normal_(0.0, 0.02, generator=generator)
            else:
                weight.normal_(0.0, weight.shape[1] ** -0.5 * 0.5, generator=generator)
                if name.endswith(("attn.o.weight", "ffn.down.weight")):
                    weight.mul_(0.05)  # blocks start nearly silent, so the circuit is not drowned
        if copying and config.layers >= 2 and config.width >= 96:
            _lay_copying_circuit(model, generator)


def _lay_copying_circuit(model: Llama, generator: torch.Generator) -> None:
    """Write the previous-token head and the induction heads (see the module's text).

    The stream is divided: entry 0 is the same for every token (heads have no bias, so something
    constant must stand there), the next two thirds hold the token's identity, and the last
    ``head_size`` entries start near zero and receive the previous token's identity.
    """
    config = model.config
    width, size = config.width, config.head_size
    scratch = slice(width - size, width)
    identity = slice(1, width - size)
    embed = model.embed.weight
    embed[:, scratch] *= 0.1
    embed[:, 0] = 0.08
    # What normalisation makes of entry 0 and of the identity: the scale of the weights below.
    constant = 0.08 / float(embed.square().mean(dim=1).sqrt().mean())

    def orthonormal(rows: int, columns: int) -> torch.Tensor:
        return torch.linalg.qr(torch.randn(columns, rows, generator=generator))[0].T

    angles = config.rope_base ** (-torch.arange(size // 2, dtype=torch.float32) / (size // 2))
    carried = torch.zeros(size, width)
    carried[:, identity] = orthonormal(size, width - size - 1)

    # Layer 0, head 0: the score peaks where key and query are one position apart.
    first = model.blocks[0].attn
    first.q.weight[:size] *= 0.05
    first.k.weight[:size] *= 0.05
    strength = 9.0 / constant
    for pair in range(4):
        first.q.weight[2 * pair, 0] = strength
        first.k.weight[2 * pair, 0] = strength * float(angles[pair].cos())
        first.k.weight[2 * pair + 1, 0] = strength * float(angles[pair].sin())
    first.v.weight[:size] = carried
    first.o.weight[:, :size] *= 0.1
    embed_scale = float(embed[:, identity].norm(dim=1).mean()) / math.sqrt(width)
    first.o.weight[scratch, :size] = torch.eye(size) * embed_scale

    # Layer 1: query = this token, key = the token before that place, value = the token there.
    second = model.blocks[1].attn
    slow = torch.arange(size // 2, size)  # pairs that hardly turn within the context
    share = config.heads // config.kv_heads
    for copy in range(min(2, config.kv_heads)):
        head, kv = copy * share * size, copy * size
        rows = torch.arange(size // 2) + copy * (size // 2)
        second.q.weight[head : head + size] *= 0.05
        second.k.weight[kv : kv + size] *= 0.05
        second.q.weight[head + slow] = 2.5 * carried[rows]
        for slot, row in zip(slow.tolist(), rows.tolist(), strict=True):
            second.k.weight[kv + slot, :] = 0.0
            second.k.weight[kv + slot, width - size + row] = 2.5
        content = torch.zeros(size, width)
        content[:, identity] = orthonormal(size, width - size - 1)
        second.v.weight[kv : kv + size] = content
        second.o.weight[:, head : head + size] = content.T * embed_scale * 2
