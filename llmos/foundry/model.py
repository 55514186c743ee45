"""The network: a llama-style decoder in plain PyTorch, small enough to read in one sitting.

Weights keep llama.cpp's conventions (interleaved RoPE, tied embedding, SwiGLU, RMSNorm), so the
export copies them without a permutation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from llmos.foundry.config import ModelConfig


class RMSNorm(nn.Module):  # type: ignore[misc]
    """Divides by the root mean square and multiplies by a learned gain."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last dimension of ``x``."""
        return functional.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


def rope_table(config: ModelConfig, length: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines, each ``(length, head_size / 2)``, of the rotary position code."""
    half = config.head_size // 2
    frequency = config.rope_base ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = torch.outer(torch.arange(length, dtype=torch.float64), frequency)
    return angle.cos().float(), angle.sin().float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn neighbouring pairs of ``x`` (batch, heads, time, head_size) by their position."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention of (batch, heads, time, head_size).

    On a CPU, plain products in bfloat16 are about 1.5 times as fast up to some 1,000 positions as
    PyTorch's fused kernel, whose backward pass is slow there; longer sequences would need too much
    memory for their scores. On CUDA the fused kernel is the fast one.
    """
    time = q.shape[2]
    half = torch.is_autocast_enabled(q.device.type)
    if half:
        q, k, v = q.bfloat16(), k.bfloat16(), v.bfloat16()
    if not half or q.device.type != "cpu" or time > 1024:
        return functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    future = torch.full((time, time), -1e9, dtype=scores.dtype).triu(1)
    # The function behind torch.softmax, which autocast would carry out in float32.
    weights = torch.ops.aten._softmax(scores + future, -1, False)
    out: Tensor = weights @ v
    return out


class Attention(nn.Module):  # type: ignore[misc]
    """Causal self-attention with grouped key and value heads."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.size = config.heads, config.kv_heads, config.head_size
        kv_width = self.kv_heads * self.size
        self.q = nn.Linear(config.width, config.width, bias=False)
        self.k = nn.Linear(config.width, kv_width, bias=False)
        self.v = nn.Linear(config.width, kv_width, bias=False)
        self.o = nn.Linear(config.width, config.width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Attend within ``x`` (batch, time, width)."""
        batch, time, width = x.shape
        q = self.q(x).view(batch, time, self.heads, self.size).transpose(1, 2)
        k = self.k(x).view(batch, time, self.kv_heads, self.size).transpose(1, 2)
        v = self.v(x).view(batch, time, self.kv_heads, self.size).transpose(1, 2)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        share = self.heads // self.kv_heads
        k, v = k.repeat_interleave(share, dim=1), v.repeat_interleave(share, dim=1)
        mixed = attend(q, k, v)
        out: Tensor = self.o(mixed.transpose(1, 2).reshape(batch, time, width))
        return out


class FeedForward(nn.Module):  # type: ignore[misc]
    """SwiGLU."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate = nn.Linear(config.width, config.ffn, bias=False)
        self.up = nn.Linear(config.width, config.ffn, bias=False)
        self.down = nn.Linear(config.ffn, config.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map each position of ``x`` by itself."""
        out: Tensor = self.down(functional.silu(self.gate(x)) * self.up(x))
        return out


class Block(nn.Module):  # type: ignore[misc]
    """One layer: attention, then feed-forward, each on a normalised copy of the stream."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attn_norm = RMSNorm(config.width, config.norm_eps)
        self.attn = Attention(config)
        self.ffn_norm = RMSNorm(config.width, config.norm_eps)
        self.ffn = FeedForward(config)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Add what the layer has to say to the stream ``x``."""
        x = x + self.attn(self.attn_norm(x), cos, sin)
        return x + self.ffn(self.ffn_norm(x))


class Llama(nn.Module):  # type: ignore[misc]
    """The whole model; the output matrix is the token embedding."""

    cos: Tensor
    sin: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocab_size, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.width, config.norm_eps)
        cos, sin = rope_table(config, config.context)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def hidden(self, ids: Tensor, tapped: dict[int, Tensor] | None = None) -> Tensor:
        """Normalised last hidden states (batch, time, width) of token ids (batch, time).

        ``tapped``, when given, gets the stream behind every block by the block's number.
        """
        time = ids.shape[1]
        if time > self.config.context:
            raise ValueError(f"{time} tokens do not fit a context of {self.config.context}")
        x = self.embed(ids)
        cos, sin = self.cos[:time], self.sin[:time]
        for number, block in enumerate(self.blocks):
            x = block(x, cos, sin)
            if tapped is not None:
                tapped[number] = x
        out: Tensor = self.norm(x)
        return out

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (batch, time, vocabulary)."""
        return functional.linear(self.hidden(ids), self.embed.weight)

    def loss(
        self,
        ids: Tensor,
        targets: Tensor,
        weights: Tensor | None = None,
        tapped: dict[int, Tensor] | None = None,
    ) -> Tensor:
        """Mean cross-entropy over the positions whose target is not negative, weighted where asked.

        Only those positions go through the output matrix, which is a third of the arithmetic of a
        small model: answers are a small share of a conversation's tokens.
        """
        states = self.hidden(ids, tapped).flatten(0, 1)
        flat = targets.flatten()
        kept = (flat >= 0).nonzero().squeeze(1)
        if kept.numel() < flat.numel():
            states, flat = states[kept], flat[kept]
        logits = functional.linear(states, self.embed.weight)
        if weights is None:
            return functional.cross_entropy(logits, flat)
        counted = weights.flatten()[kept]
        return (functional.cross_entropy(logits, flat, reduction="none") * counted).sum() / counted.sum()

    def reads(self, stream: Tensor, labels: Tensor, choices: Tensor) -> Tensor:
        """Cross-entropy of reading one of some tokens off the stream behind a block.

        Args:
            stream: (batch, time, width), from ``tapped``.
            labels: (batch, time), the number of the right choice, negative where nothing is read.
            choices: ids of the tokens that are chosen among.
        """
        flat = labels.flatten()
        kept = (flat >= 0).nonzero().squeeze(1)
        states = self.norm(stream.flatten(0, 1)[kept])
        logits = functional.linear(states, self.embed.weight[choices])
        return functional.cross_entropy(logits, flat[kept], reduction="sum") / max(1, kept.numel())
