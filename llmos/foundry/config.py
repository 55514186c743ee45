"""Sizes and settings of a build: one dial (``depth``) sets everything that grows with the model."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True)
class ModelConfig:
    """Shape of a llama-style model.

    Attributes:
        vocab_size: entries of the tokenizer, special tokens included.
        width: size of the residual stream; must divide by 32 for Q8_0 and Q4_0 rows.
        layers: number of blocks.
        heads: query heads; ``width / heads`` is the head size, which must be even.
        kv_heads: key and value heads (grouped-query attention); divides ``heads``.
        ffn: inner width of the SwiGLU.
        context: longest sequence in tokens that the model is made for.
        rope_base: base of the rotary frequencies. Set for the full context from the first step,
            so that lengthening the training context needs no change of positions.
        norm_eps: epsilon of RMSNorm.
    """

    vocab_size: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    ffn: int
    context: int = 2048
    rope_base: float = 500_000.0
    norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise ValueError(f"width {self.width} does not split into {self.heads} even heads")
        if self.heads % self.kv_heads:
            raise ValueError(f"{self.heads} query heads do not share {self.kv_heads} key heads")
        if self.width % 32 or self.ffn % 32:
            raise ValueError("width and ffn must divide by 32, or their rows cannot be quantised")

    @property
    def head_size(self) -> int:
        """Width of one head."""
        return self.width // self.heads

    def parameters(self) -> int:
        """Number of weights; the token embedding is tied, so it counts once."""
        kv_width = self.kv_heads * self.head_size
        attention = 2 * self.width * self.width + 2 * self.width * kv_width
        block = attention + 3 * self.width * self.ffn + 2 * self.width
        return self.vocab_size * self.width + self.layers * block + self.width

    def flops_per_token(self, length: int) -> float:
        """Training FLOPs of one token (forward and backward) in a sequence of ``length``."""
        attention = 12 * self.layers * self.width * length / 2
        return 6.0 * self.parameters() + attention

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a checkpoint or the record."""
        return asdict(self)


#: The dial. ``nano`` exists for the end-to-end test; the others are named by their weights.
DEPTHS: dict[str, ModelConfig] = {
    "nano": ModelConfig(vocab_size=1024, width=96, layers=3, heads=3, kv_heads=3, ffn=256),
    "3m": ModelConfig(vocab_size=4096, width=192, layers=6, heads=6, kv_heads=3, ffn=512),
    "8m": ModelConfig(vocab_size=8192, width=256, layers=8, heads=8, kv_heads=4, ffn=704),
    "16m": ModelConfig(vocab_size=8192, width=384, layers=8, heads=12, kv_heads=4, ffn=1024),
    "30m": ModelConfig(vocab_size=8192, width=512, layers=9, heads=16, kv_heads=4, ffn=1376),
}


def model_config(depth: str, vocab_size: int | None = None) -> ModelConfig:
    """The shape for a position of the dial.

    Args:
        depth: one of ``DEPTHS``.
        vocab_size: what the tokenizer really has (a tiny corpus may give fewer merges).

    Raises:
        ValueError: the dial has no such position.
    """
    try:
        config = DEPTHS[depth.lower()]
    except KeyError:
        raise ValueError(f"no depth '{depth}': choose one of {', '.join(DEPTHS)}") from None
    return config if vocab_size is None else replace(config, vocab_size=vocab_size)
