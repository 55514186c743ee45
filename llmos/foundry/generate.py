"""Batched sampling in PyTorch with a key-value cache, for reinforcement learning and quick scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from llmos.foundry.model import Block, rotate

if TYPE_CHECKING:
    from llmos.foundry.model import Llama


@dataclass(frozen=True)
class Sample:
    """One answer.

    Attributes:
        ids: generated token ids, without the one that ended it.
        ended: whether it ended by itself.
        logprob: sum of the log-probabilities of the drawn tokens, at temperature 1.
        entropy: mean entropy (nats) of the distributions that were drawn from.
    """

    ids: list[int]
    ended: bool
    logprob: float
    entropy: float


def _step(block: Block, x: Tensor, cos: Tensor, sin: Tensor, cache: list[Tensor], seen: Tensor) -> Tensor:
    """One layer on new positions, whose keys and values join the cache.

    Args:
        block: the layer.
        x: new positions (batch, new, width).
        cos: of each row's positions (batch, 1, new, half); ``sin`` likewise.
        cache: keys and values so far (batch, heads, old, size), replaced in place; empty at first.
        seen: which cached and new positions each new one may look at (batch, 1, new, old + new).
    """
    attention = block.attn
    batch, new, width = x.shape
    normed = block.attn_norm(x)
    q = attention.q(normed).view(batch, new, attention.heads, attention.size).transpose(1, 2)
    k = attention.k(normed).view(batch, new, attention.kv_heads, attention.size).transpose(1, 2)
    v = attention.v(normed).view(batch, new, attention.kv_heads, attention.size).transpose(1, 2)
    q, k = rotate(q, cos, sin), rotate(k, cos, sin)
    if cache:
        k, v = torch.cat([cache[0], k], dim=2), torch.cat([cache[1], v], dim=2)
    cache[:] = [k, v]
    share = attention.heads // attention.kv_heads
    k, v = k.repeat_interleave(share, dim=1), v.repeat_interleave(share, dim=1)
    mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=seen)
    x = x + attention.o(mixed.transpose(1, 2).reshape(batch, new, width))
    out: Tensor = x + block.ffn(block.ffn_norm(x))
    return out


def generate(
    model: Llama,
    prompts: Sequence[Sequence[int]],
    *,
    stop: int,
    limit: int = 96,
    temperature: float = 0.0,
    seed: int = 0,
    group: int = 1,
) -> list[Sample]:
    """Answer many prompts at once.

    Args:
        model: used as it is, without gradients.
        prompts: token ids; shorter ones are padded on the left.
        stop: id that ends an answer.
        limit: longest answer in tokens.
        temperature: 0 takes the likeliest token.
        seed: of the draws.
        group: answers for each prompt, which is read once for all of them; they come one after
            the other.
    """
    device = next(model.parameters()).device
    longest = max(map(len, prompts))
    limit = min(limit, model.config.context - longest)
    if limit < 1:
        raise ValueError(f"a prompt of {longest} tokens leaves no room in a context of {model.config.context}")
    pad = torch.tensor([longest - len(p) for p in prompts], device=device)
    ids = torch.zeros(len(prompts), longest, dtype=torch.long, device=device)
    rows = len(prompts) * group
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.tensor(list(prompt), device=device)
    generator = torch.Generator(device=device).manual_seed(seed)
    caches: list[list[Tensor]] = [[] for _ in model.blocks]
    out: list[list[int]] = [[] for _ in range(rows)]
    ended = [False] * rows
    logprob, entropy = [0.0] * rows, [0.0] * rows
    places = torch.arange(longest, device=device)
    with torch.no_grad():
        new, start = ids, 0
        for _ in range(limit):
            here = places[start : start + new.shape[1]]
            positions = (here[None] - pad[:, None]).clamp(min=0)
            cos, sin = model.cos[positions][:, None], model.sin[positions][:, None]
            # A row may not see its padding; a padded position sees itself, to keep softmax finite.
            allowed = (places[None, None] >= pad[:, None, None]) & (places[None, None] <= here[None, :, None])
            allowed |= places[None, None] == here[None, :, None]
            x = model.embed(new)
            for block, cache in zip(model.blocks, caches, strict=True):
                assert isinstance(block, Block)
                x = _step(block, x, cos, sin, cache, allowed[:, None])
            logits = functional.linear(model.norm(x[:, -1]), model.embed.weight).float()
            if start == 0 and group > 1:
                logits, pad = logits.repeat_interleave(group, dim=0), pad.repeat_interleave(group)
                for cache in caches:
                    cache[:] = [t.repeat_interleave(group, dim=0) for t in cache]
            logs = logits.log_softmax(-1)
            if temperature > 0:
                drawn = torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator).squeeze(1)
            else:
                drawn = logits.argmax(-1)
            chance = logs.gather(1, drawn[:, None]).squeeze(1).tolist()
            spread = (-(logs.exp() * logs).sum(-1)).tolist()
            for row, token in enumerate(drawn.tolist()):
                if ended[row]:
                    continue
                logprob[row] += chance[row]
                entropy[row] += spread[row]
                if token == stop:
                    ended[row] = True
                else:
                    out[row].append(token)
            if all(ended):
                break
            start = len(places)
            places = torch.arange(start + 1, device=device)
            new = drawn[:, None]
    return [
        Sample(ids, done, logp, spread / (len(ids) + done or 1))
        for ids, done, logp, spread in zip(out, ended, logprob, entropy, strict=True)
    ]
